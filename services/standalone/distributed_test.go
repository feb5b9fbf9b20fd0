package standalone_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/embedbus"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/embeds3"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

const distributedKey = "the-admin-key-0123456789"

// TestDistributed runs the four services as processes of their own, on one bus, one PostgreSQL and one object store: what
// `freeagent up` runs in one process is the same code.
func TestDistributed(t *testing.T) {
	f := newInstallation(t)
	monitor := f.start("monitor") // before the streams that it listens to
	scheduler := f.start("scheduler")
	artifact := f.start("artifact")
	ingest := f.start("ingest", "FREEAGENT_ARTIFACT_URL="+artifact.url())
	services := []*service{monitor, scheduler, artifact, ingest}
	for _, p := range services {
		p.ready()
	}
	f.submitAndCancel(ingest.url())
	f.submitAndBuild(ingest.url())
	for _, p := range services {
		p.terminate()
	}
	for _, p := range services {
		for _, secret := range f.secrets {
			if strings.Contains(p.log.String(), secret) {
				t.Errorf("%s logs a secret", p.name)
			}
		}
	}
}

// TestDistributedConformance runs a suite of API v1 against the services as processes of their own.
func TestDistributedConformance(t *testing.T) {
	suite := os.Getenv("FREEAGENT_CONFORMANCE")
	if suite == "" {
		t.Skip("FREEAGENT_CONFORMANCE names no directory with a conformance suite of API v1")
	}
	copied := filepath.Join(t.TempDir(), "suite") // its own place may be read-only
	if err := os.CopyFS(copied, os.DirFS(suite)); err != nil {
		t.Fatal(err)
	}
	f := newInstallation(t)
	services := []*service{f.start("monitor"), f.start("scheduler"), f.start("artifact")}
	ingest := f.start("ingest", "FREEAGENT_ARTIFACT_URL="+services[2].url())
	for _, p := range append(services, ingest) {
		p.ready()
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./...", "-v")
	cmd.Dir = copied
	cmd.Env = append(os.Environ(), "GOWORK=off", "STRICT=1", "BASE_URL="+ingest.url(), "API_KEY="+distributedKey)
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Log(strings.Join(lines[max(0, len(lines)-4):], "\n"))
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// submitAndCancel takes one build through the gateway.
func (f *installation) submitAndCancel(url string) {
	f.t.Helper()
	c, err := api.New(api.Config{BaseURL: url, Key: distributedKey})
	if err != nil {
		f.t.Fatal(err)
	}
	sub, err := c.Builds.Submit(f.t.Context(), api.Submit{Platform: "android", Project: "hello", Source: project(f.t)})
	if err != nil {
		f.t.Fatalf("Submit: %v", err)
	}
	b, err := c.Builds.Get(f.t.Context(), sub.ID)
	if err != nil || b.Status != "pending" {
		f.t.Errorf("Build = %+v, %v, want it pending", b, err)
	}
	if _, err := c.Builds.Cancel(f.t.Context(), sub.ID); err != nil {
		f.t.Errorf("Cancel: %v", err)
	}
	if b, err = c.Builds.Get(f.t.Context(), sub.ID); err != nil || b.Status != "cancelled" {
		f.t.Errorf("Build = %+v, %v, want it cancelled", b, err)
	}
	// The log went over the bus from one process to another.
	f.await("log of the build", func() bool {
		last := ""
		err := c.Builds.ReadLog(f.t.Context(), sub.ID, func(l api.LogLine) error { last = l.Text; return nil })
		return err == nil && last == "Build cancelled"
	})
}

// submitAndBuild has a worker, which knows nothing but the gateway's address and the key, build and deliver.
func (f *installation) submitAndBuild(url string) {
	f.t.Helper()
	worker := run(f.t, []string{"FREEAGENT_API_KEY=" + distributedKey},
		"worker", "--server", url, "--name", "w", "--state-dir", f.t.TempDir(), "--executor", "fake")
	c, err := api.New(api.Config{BaseURL: url, Key: distributedKey})
	if err != nil {
		f.t.Fatal(err)
	}
	sub, err := c.Builds.Submit(f.t.Context(), api.Submit{Platform: "ios", Source: project(f.t)})
	if err != nil {
		f.t.Fatalf("Submit: %v", err)
	}
	b, err := c.Builds.FollowLog(f.t.Context(), sub.ID, func(api.LogLine) error { return nil })
	if err != nil || b.Status != "completed" || b.Result == nil {
		f.t.Fatalf("build = %+v, %v, want it completed", b, err)
	}
	if err := c.Builds.DownloadResult(f.t.Context(), b, io.Discard, 0, nil, nil); err != nil {
		f.t.Errorf("Download: %v", err)
	}
	worker.stop()
}

// installation is what the services need of the world.
type installation struct {
	t       *testing.T
	bin     string
	environ []string
	secrets []string
}

// newInstallation starts the engines and builds the four binaries.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	f := &installation{t: t, bin: t.TempDir()}
	f.build("monitor", "scheduler", "artifact", "ingest")
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	public, err := issuer.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := issuer.Seed()
	if err != nil {
		t.Fatal(err)
	}
	bus, err := embedbus.Start(embedbus.Config{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Issuer: public, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	user, password := bus.Credentials()
	s3 := f.objectStore()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	f.secrets = []string{distributedKey, password, s3.SecretKey(), string(seed), key}
	f.environ = []string{
		"PATH=" + os.Getenv("PATH"), "FREEAGENT_DATABASE_URL=" + databasetest.Postgres(t),
		"FREEAGENT_NATS_URL=" + bus.URL("127.0.0.1"), "FREEAGENT_NATS_USER=" + user,
		"FREEAGENT_NATS_PASSWORD_FILE=" + f.file(password),
		"FREEAGENT_S3_ENDPOINT=" + s3.Endpoint(), "FREEAGENT_S3_TLS=false", "FREEAGENT_S3_REGION=" + embeds3.Region,
		"FREEAGENT_S3_ACCESS_KEY=" + s3.AccessKey(), "FREEAGENT_S3_SECRET_KEY_FILE=" + f.file(s3.SecretKey()),
		"FREEAGENT_TICKET_KEY_FILE=" + f.file(key), "FREEAGENT_MASTER_KEY_FILE=" + f.file(key), "FREEAGENT_TOKEN_KEY_FILE=" + f.file(key),
		"FREEAGENT_API_KEY_FILE=" + f.file(distributedKey), "FREEAGENT_BUS_ISSUER_FILE=" + f.file(string(seed)),
		"FREEAGENT_BUS_ACCOUNT=" + embedbus.Account, "FREEAGENT_WORKER_BUS_URL=" + bus.URL("127.0.0.1"),
	}
	return f
}

func (f *installation) objectStore() *embeds3.Server {
	f.t.Helper()
	s3, err := embeds3.Start(f.t.Context(), embeds3.Config{Dir: f.t.TempDir()})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if err := s3.Close(ctx); err != nil {
			f.t.Errorf("close the object store: %v", err)
		}
	})
	return s3
}

// build makes the binaries, each from its own module alone.
func (f *installation) build(services ...string) {
	f.t.Helper()
	for _, s := range services {
		cmd := exec.CommandContext(f.t.Context(), "go", "build", "-o", f.bin, "./cmd/"+s)
		cmd.Dir = filepath.Join(root, "services", s)
		cmd.Env = append(os.Environ(), buildFlags()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			f.t.Fatalf("build %s: %v\n%s", s, err, out)
		}
	}
}

func (f *installation) file(content string) string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f *installation) await(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-deadline:
			f.t.Fatalf("%s: not as wanted within a minute", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// service is one running process.
type service struct {
	f     *installation
	name  string
	cmd   *exec.Cmd
	log   *lockedBuffer
	ended chan struct{}
	err   error // of Wait, once ended is closed
}

// start runs a service until it is terminated, or killed with the test.
func (f *installation) start(name string, more ...string) *service {
	f.t.Helper()
	p := &service{f: f, name: name, log: &lockedBuffer{}, ended: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(f.bin, name)) // without a context: it is terminated, or killed by the cleanup
	p.cmd.Env = append(append(f.environ[:len(f.environ):len(f.environ)], "FREEAGENT_"+strings.ToUpper(name)+"_LISTEN=127.0.0.1:0"), more...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.ended) }()
	f.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if f.t.Failed() {
			f.t.Logf("log of %s:\n%s", name, p.log)
		}
	})
	return p
}

var listening = regexp.MustCompile(`"address":"([^"]+)"`)

// url waits until the service listens.
func (p *service) url() (url string) {
	p.f.t.Helper()
	p.f.await(p.name+" listens", func() bool {
		p.alive()
		if m := listening.FindStringSubmatch(p.log.String()); m != nil {
			url = "http://" + m[1]
		}
		return url != ""
	})
	return url
}

func (p *service) alive() {
	p.f.t.Helper()
	select {
	case <-p.ended:
		p.f.t.Fatalf("%s ended by itself: %v", p.name, p.err)
	default:
	}
}

func (p *service) ready() {
	p.f.t.Helper()
	url := p.url() + "/readyz"
	p.f.await(url+" of "+p.name, func() bool {
		p.alive()
		req, err := http.NewRequestWithContext(p.f.t.Context(), http.MethodGet, url, nil)
		if err != nil {
			p.f.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == http.StatusOK
	})
}

// terminate asks the service to stop, which it does with exit code 0.
func (p *service) terminate() {
	p.f.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.f.t.Fatal(err)
	}
	select {
	case <-p.ended:
		if p.err != nil {
			p.f.t.Errorf("%s after SIGTERM: %v, want exit code 0", p.name, p.err)
		}
	case <-time.After(time.Minute):
		p.f.t.Fatalf("%s does not end within a minute of SIGTERM", p.name)
	}
}
