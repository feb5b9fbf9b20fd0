// Package daemontest runs a service's program in a test, as an operator would meet it: environment in, log and HTTP out.
package daemontest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Main is what a service's program is.
type Main func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error

// BusPassword is that of the one user of a bus made with Bus.
const BusPassword = "bus-pass"

// Bus is a nats-server with JetStream that listens, as a separate process would meet it.
func Bus(t testing.TB, user string) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Username: user, Password: BusPassword,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server is not ready")
	}
	return s
}

// BusEnv connects a program to the bus, with the password in a file.
func BusEnv(t testing.TB, s *server.Server, user string) []string {
	t.Helper()
	return []string{
		"FREEAGENT_NATS_URL=" + s.ClientURL(), "FREEAGENT_NATS_USER=" + user, "FREEAGENT_NATS_PASSWORD_FILE=" + File(t, BusPassword+"\n"),
	}
}

// File writes a file that only we may read and gives its path.
func File(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Log collects what a program writes; it may be read meanwhile.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Program is a running one.
type Program struct {
	Log Log

	t     testing.TB
	ended chan error
	stop  context.CancelFunc
}

// Start runs main until Stop, or the end of the test.
func Start(t testing.TB, main Main, environ []string) *Program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &Program{t: t, ended: make(chan error, 1), stop: stop}
	go func() { p.ended <- main(ctx, nil, environ, io.Discard, &p.Log) }()
	t.Cleanup(func() {
		stop()
		p.ended <- <-p.ended
	})
	return p
}

// patience is ample for a program to start, notice or stop.
const patience = 30 * time.Second

var address = regexp.MustCompile(`"address":"([^"]+)"`)

// Await polls a path of the address in the log until it answers so.
func (p *Program) Await(path string, status int, text string) {
	p.t.Helper()
	got := "no answer"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case err := <-p.ended:
			p.ended <- err
			p.t.Fatalf("the program ended: %v\n%s", err, &p.Log)
		case <-time.After(20 * time.Millisecond):
		}
		m := address.FindStringSubmatch(p.Log.String())
		if m == nil {
			continue
		}
		code, body := get(p.t, "http://"+m[1]+path)
		if code == status && strings.Contains(body, text) {
			return
		}
		got = http.StatusText(code) + " " + body
	}
	p.t.Fatalf("%s = %q, want %d %q\n%s", path, got, status, text, &p.Log)
}

func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body) // what is missing of it does not match
	return resp.StatusCode, string(data)
}

// Stop asks the program to end and wants it to do so cleanly, with none of the secrets in its log.
func (p *Program) Stop(secrets ...string) {
	p.t.Helper()
	p.stop()
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			p.t.Errorf("the program ended with %v after a stop, want nil", err)
		}
	case <-time.After(patience):
		p.t.Error("stop timed out")
	}
	for _, secret := range secrets {
		if strings.Contains(p.Log.String(), secret) {
			p.t.Errorf("%s is in the log", secret)
		}
	}
}

// Hush is a secret for faulty settings: no error may show it.
const Hush = "hush-hush"

// Fault is an environment and what the error about it has to name.
type Fault struct {
	Env, Want []string
}

// Faults wants each environment refused.
func Faults(t *testing.T, main Main, faults map[string]Fault) {
	t.Helper()
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := main(t.Context(), nil, f.Env, io.Discard, io.Discard)
			if err == nil {
				t.Fatal("the program ran")
			}
			for _, want := range f.Want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), Hush) {
				t.Errorf("a secret is in %v", err)
			}
		})
	}
}

// Flags wants -version, a -h that names variable, and other flags refused.
func Flags(t *testing.T, main Main, variable string) {
	t.Helper()
	var out, errs Log
	if err := main(t.Context(), []string{"-version"}, nil, &out, &errs); err != nil || out.String() == "" {
		t.Errorf("-version = %q, %v", &out, err)
	}
	if err := main(t.Context(), []string{"-h"}, nil, &out, &errs); err != nil || !strings.Contains(errs.String(), variable) {
		t.Errorf("-h = %q, %v", &errs, err)
	}
	if err := main(t.Context(), []string{"-nonsense"}, nil, &out, &errs); err == nil {
		t.Error("an unknown flag is taken")
	}
}
