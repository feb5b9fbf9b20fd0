package embeds3_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/embeds3"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// childEnv makes the test binary serve a directory instead of running tests:
// only one endpoint fits into a process, and some tests kill it.
const childEnv = "EMBEDS3_CHILD_DIR"

var shared *embeds3.Server

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(serveChild(dir))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "embeds3")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if shared, err = embeds3.Start(context.Background(), embeds3.Config{Dir: dir}); err != nil {
		panic(err)
	}
	code := m.Run()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := shared.Close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "close shared server:", err)
		return 1
	}
	return code
}

// greeting is the child's first line, farewell its last.
type greeting struct {
	Endpoint, AccessKey, SecretKey, Error string
	Refused                               bool
	Took                                  time.Duration
}

type farewell struct {
	Error      string
	Goroutines string // left behind
	PeakRSS    int64  // bytes
}

func serveChild(dir string) int {
	out := json.NewEncoder(os.Stdout)
	begin := time.Now()
	s, err := embeds3.Start(context.Background(), embeds3.Config{Dir: dir, Addr: os.Getenv("EMBEDS3_CHILD_ADDR")})
	if err != nil {
		out.Encode(greeting{Error: err.Error(), Refused: errors.Is(err, embeds3.ErrAddress)})
		return 1
	}
	out.Encode(greeting{Endpoint: s.Endpoint(), AccessKey: s.AccessKey(), SecretKey: s.SecretKey(), Took: time.Since(begin)})
	io.Copy(io.Discard, os.Stdin) // until the parent closes it
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	bye := farewell{PeakRSS: peakRSS()}
	if err := s.Close(ctx); err != nil {
		bye.Error = err.Error()
	}
	bye.Goroutines = leftGoroutines()
	out.Encode(bye)
	return 0
}

// libraryOwned names goroutines that outlive the gateway by fasthttp's design: a
// clock for the whole process, and a pool's cleaner that ends within 10 s.
var libraryOwned = []string{"fasthttp.updateServerDate", "fasthttp.(*workerPool).Start"}

// leftGoroutines waits until only this goroutine and the library's are left
// and returns the stacks of the others otherwise.
func leftGoroutines() string {
	var left []string
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if left = foreignGoroutines(); len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}

func foreignGoroutines() (out []string) {
	buf := make([]byte, 1<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	for _, stack := range stacks[1:] { // the first is the caller's
		if !slices.ContainsFunc(libraryOwned, func(name string) bool { return strings.Contains(stack, name) }) {
			out = append(out, stack)
		}
	}
	return out
}

func peakRSS() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// child is an endpoint in a process of its own.
type child struct {
	greeting

	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
	stderr strings.Builder
	ended  bool
	busy   bool // with a request when it is stopped
}

func startChild(t testing.TB, dir, addr string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"="+dir, "EMBEDS3_CHILD_ADDR="+addr)
	c.cmd.Dir = t.TempDir()
	c.cmd.Stderr = &c.stderr
	c.stdin, _ = c.cmd.StdinPipe()
	stdout, _ := c.cmd.StdoutPipe()
	c.stdout = bufio.NewReader(stdout)
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("start child: %v", err)
	}
	t.Cleanup(c.kill)
	c.decode(&c.greeting)
	return c
}

func (c *child) decode(v any) {
	c.t.Helper()
	line, err := c.stdout.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		c.t.Fatalf("child said %q: %v; stderr: %s", line, err, c.stderr.String())
	}
}

// kill is kill -9.
func (c *child) kill() {
	if !c.ended {
		c.ended = true
		c.cmd.Process.Kill()
		c.cmd.Wait()
	}
}

// stop ends the child in good order and checks that it said nothing else.
func (c *child) stop() farewell {
	c.t.Helper()
	c.ended = true
	c.stdin.Close()
	var bye farewell
	c.decode(&bye)
	rest, _ := io.ReadAll(c.stdout)
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("child ended with %v", err)
	}
	said := c.stderr.String()
	if c.busy { // the library says to the terminal which requests the end broke off, if it got as far
		said = strings.ReplaceAll(said, "\x1b[31m[INTERNAL ERROR]: context canceled\x1b[0m\n", "")
	}
	if len(rest) > 0 || said != "" {
		c.t.Errorf("child is not quiet: stdout %q, stderr %q", rest, said)
	}
	return bye
}

var buckets atomic.Int64

// openStore makes a store with a bucket of its own on an endpoint.
func openStore(t testing.TB, endpoint, access, secret, bucket string, sync func(bucket, key string) error) *objects.S3 {
	t.Helper()
	if bucket == "" {
		bucket = fmt.Sprintf("bucket-%d", buckets.Add(1))
	}
	cfg := objects.Config{Endpoint: endpoint, AccessKey: access, SecretKey: secret, Bucket: bucket, Region: embeds3.Region}
	if sync != nil {
		cfg.Sync = func(key string) error { return sync(bucket, key) }
	}
	store, err := objects.New(cfg)
	if err != nil {
		t.Fatalf("objects.New = %v", err)
	}
	t.Cleanup(func() { store.Close() })
	if err := store.EnsureBucket(t.Context()); err != nil {
		t.Fatalf("EnsureBucket = %v", err)
	}
	return store
}

func (c *child) store(bucket string) *objects.S3 {
	c.t.Helper()
	return openStore(c.t, c.Endpoint, c.AccessKey, c.SecretKey, bucket, nil)
}

// files lists the regular files below dir, relative to it.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatalf("walk %s: %v", dir, err)
	}
	return out
}
