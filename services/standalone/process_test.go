package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// binary is the true command, built once for the tests that kill processes. FREEAGENT_BINARY names another one, so that a
// benchmark can measure an older build by the same means.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("FREEAGENT_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "freeagent-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "freeagent")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/freeagent")
	cmd.Dir = filepath.Join(root, "services", "standalone")
	cmd.Env = append(os.Environ(), buildFlags()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return path, nil
})

// buildFlags are those of the Makefile, so that what it has built is not compiled again.
func buildFlags() []string { return []string{"GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-trimpath"} }

func TestMain(m *testing.M) {
	if text := os.Getenv(fleetVariable); text != "" {
		if err := runFleet(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if text := os.Getenv(archivingVariable); text != "" {
		if err := runArchiving(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if built.Load() && os.Getenv("FREEAGENT_BINARY") == "" {
		path, _ := binary()
		_ = os.RemoveAll(filepath.Dir(path))
	}
	standalone.RemoveServices()
	os.Exit(code)
}

// built says that there is a binary to remove.
var built atomic.Bool

// process is a child of ours.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  *lockedBuffer
	done chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func run(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	built.Store(true)
	return spawn(t, path, env, args...)
}

// spawn starts a program that ends with the test.
func spawn(t testing.TB, path string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(path, args...), out: &lockedBuffer{}, done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Dir = t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%v said:\n%s", args, p.out.String())
		}
	})
	return p
}

// kill is SIGKILL, and waits for the end.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(10 * time.Second):
		p.t.Errorf("%v survived SIGKILL", p.cmd.Args)
	}
}

func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}

// stop is SIGTERM, and wants exit code 0.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case err := <-p.done:
		p.done <- err
		if err != nil {
			p.t.Errorf("%v after SIGTERM: %v", p.cmd.Args, err)
		}
	case <-time.After(30 * time.Second):
		p.t.Errorf("%v does not stop on SIGTERM", p.cmd.Args)
	}
}

// farm is a standalone in a process of its own, whose address and data stay the same over restarts.
type farm struct {
	*process
	t         testing.TB
	dir, port string
	flags     []string
	env       []string
	// launch starts another program than the command, if set; it writes JSON to the file when it takes builds.
	launch func(ready string) *process
}

const farmKey = "key-of-the-test-farm"

func newFarm(t testing.TB, flags ...string) *farm {
	t.Helper()
	f := &farm{t: t, dir: t.TempDir(), port: freePort(t), flags: flags}
	f.up()
	return f
}

// nextPort counts the ports that freePort has looked at.
var nextPort atomic.Int64

// freePort returns a port that no other test of this process gets. It is below those that the kernel gives to clients, so that it is still free
// when a server takes it, or takes it again.
func freePort(t testing.TB) string {
	t.Helper()
	const from, to = 10_000, 20_000
	for range to - from {
		port := strconv.FormatInt(from+(int64(os.Getpid())*37+nextPort.Add(1))%(to-from), 10)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil && l.Close() == nil {
			return port
		}
	}
	t.Fatalf("no free port between %d and %d", from, to)
	return ""
}

// up starts the server and waits until it takes builds.
func (f *farm) up() {
	f.t.Helper()
	ready := filepath.Join(f.t.TempDir(), "ready.json")
	if f.launch != nil {
		f.process = f.launch(ready)
	} else {
		f.process = f.command(ready)
	}
	f.eventually("the server is ready", func() bool {
		data, err := os.ReadFile(ready)
		return err == nil && json.Valid(data)
	})
}

func (f *farm) command(ready string) *process {
	f.t.Helper()
	return run(f.t, append([]string{"FREEAGENT_API_KEY=" + farmKey}, f.env...),
		append([]string{"up", "--port", f.port, "--data-dir", f.dir, "--ready-file", ready}, f.flags...)...)
}

func (f *farm) url() string { return "http://127.0.0.1:" + f.port }

// worker starts a worker process with the fake executor.
func (f *farm) worker(name, fake string) *process {
	f.t.Helper()
	return run(f.t, []string{"FREEAGENT_API_KEY=" + farmKey},
		"worker", "--server", f.url(), "--name", name, "--state-dir", filepath.Join(f.t.TempDir(), name), "--executor", "fake", "--fake", fake)
}

func (f *farm) client() *api.Client {
	f.t.Helper()
	c, err := api.New(api.Config{BaseURL: f.url(), Key: farmKey})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *farm) submit() string {
	f.t.Helper()
	sub, err := f.client().Builds.Submit(f.t.Context(), api.Submit{Platform: "android", Source: project(f.t)})
	if err != nil {
		f.t.Fatalf("submit: %v", err)
	}
	return sub.ID
}

// becomes waits until the build is as wanted and gives it.
func (f *farm) becomes(id, what string, ok func(api.Build) bool) (b api.Build) {
	f.t.Helper()
	f.eventually(what, func() bool {
		ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
		defer cancel()
		var err error
		b, err = f.client().Builds.Get(ctx, id)
		return err == nil && ok(b)
	})
	return b
}

func (f *farm) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline, tick := time.After(60*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case err := <-f.done:
			f.done <- err
			f.t.Fatalf("%s: never, the server ended: %v", what, err)
		case <-deadline:
			f.t.Fatalf("%s: not within a minute", what)
		}
	}
}

func is(status string) func(api.Build) bool {
	return func(b api.Build) bool { return b.Status == status }
}

// completedOnce checks that a build ended well exactly once and gives its log.
func (f *farm) completedOnce(id string) api.Build {
	f.t.Helper()
	b := f.becomes(id, "build "+id+" completes", api.Build.Final)
	if b.Status != "completed" || b.Result == nil {
		f.t.Fatalf("build = %+v, want completed with a result", b)
	}
	completed := 0
	for _, a := range b.Attempts {
		if a.Outcome == "completed" {
			completed++
		}
	}
	said := 0
	// Followed, since the last line may come a moment after the state.
	_, err := f.client().Builds.FollowLog(f.t.Context(), id, func(l api.LogLine) error {
		if l.Text == "Build completed successfully" {
			said++
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if completed != 1 || said != 1 {
		f.t.Errorf("%d attempts completed and the log says so %d times, want 1 and 1: %+v", completed, said, b.Attempts)
	}
	var got bytes.Buffer
	if err := f.client().Builds.DownloadResult(f.t.Context(), b, &got, 0, nil, nil); err != nil {
		f.t.Errorf("download: %v", err)
	}
	return b
}
