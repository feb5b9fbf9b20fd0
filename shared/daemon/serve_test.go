package daemon_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/daemon"
	"github.com/expo-free-agent/freeagent/shared/daemon/daemontest"
)

var listening = regexp.MustCompile(`address=(\S+)`)

// served is a running Serve.
type served struct {
	t          *testing.T
	log        daemontest.Log
	stop       context.CancelFunc
	ended      chan error
	workEnded  chan time.Time
	work, ping string // URLs
}

func serve(t *testing.T, delay time.Duration, ready func(context.Context) error) *served {
	t.Helper()
	s := &served{t: t, ended: make(chan error, 1), workEnded: make(chan time.Time, 1)}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(t.Context())
	t.Cleanup(s.stop)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "work") })
	run := func(ctx context.Context) error {
		<-ctx.Done()
		s.workEnded <- time.Now()
		return nil
	}
	at := daemon.Listen{Address: "127.0.0.1:0", Health: "127.0.0.1:0", Stopping: daemon.Stopping{DrainDelay: delay}}
	go func() {
		s.ended <- daemon.Serve(ctx, at, h, daemon.Probes{Ready: ready}, run, slog.New(slog.NewTextHandler(&s.log, nil)))
	}()
	s.poll("two listeners", func() bool {
		m := listening.FindAllStringSubmatch(s.log.String(), -1)
		if len(m) == 2 {
			s.work, s.ping = "http://"+m[0][1], "http://"+m[1][1]
		}
		return len(m) == 2
	})
	return s
}

func (s *served) poll(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %s\n%s", what, &s.log)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (s *served) get(url string) (status int, body string, closing bool) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		return 0, err.Error(), false
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(data)), resp.Close
}

// TestStopsInOrder: told to stop, it is not ready at once, still works, and asks clients to go elsewhere; after the delay it
// ends.
func TestStopsInOrder(t *testing.T) {
	t.Parallel()
	const delay = time.Second
	s := serve(t, delay, func(context.Context) error { return nil })
	if status, body, closing := s.get(s.work); status != http.StatusOK || body != "work" || closing {
		t.Fatalf("work = %d %q, closing %t", status, body, closing)
	}
	if status, body, _ := s.get(s.ping + "/readyz"); status != http.StatusOK {
		t.Fatalf("/readyz = %d %q", status, body)
	}
	began := time.Now()
	s.stop()
	for _, url := range []string{s.work, s.ping} {
		s.poll("stopping at "+url, func() bool {
			status, body, _ := s.get(url + "/readyz")
			return status == http.StatusServiceUnavailable && body == "stopping"
		})
	}
	if status, body, closing := s.get(s.work); status != http.StatusOK || body != "work" || !closing {
		t.Errorf("work while stopping = %d %q, closing %t, want it done and the connection closed", status, body, closing)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("Serve = %v", err)
	}
	if worked := (<-s.workEnded).Sub(began); worked < delay {
		t.Errorf("the service worked for %s after it was to stop, want at least %s", worked, delay)
	}
}

// TestReasonForOperators: the second address says why it is not ready.
func TestReasonForOperators(t *testing.T) {
	t.Parallel()
	s := serve(t, 0, func(context.Context) error { return errors.New("no bus") })
	if status, body, _ := s.get(s.ping + "/readyz"); status != http.StatusServiceUnavailable || body != "not ready: no bus" {
		t.Errorf("/readyz = %d %q", status, body)
	}
	if status, _, _ := s.get(s.ping + "/livez"); status != http.StatusOK {
		t.Errorf("/livez = %d", status)
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/livez" {
			return
		}
		http.Error(w, "the bus is away", http.StatusServiceUnavailable)
	})
	plain, secure := httptest.NewServer(h), httptest.NewTLSServer(h)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for _, url := range []string{plain.URL, secure.URL} {
		if _, err := run(t, []string{"--probe", url + "/livez"}); err != nil {
			t.Errorf("--probe = %v, want nil without any setting", err)
		}
		if _, err := run(t, []string{"--probe", url + "/readyz"}); err == nil || !strings.Contains(err.Error(), "the bus is away") {
			t.Errorf("--probe = %v, want the reason", err)
		}
	}
	for _, url := range []string{"localhost", "file:///etc/passwd", "http://127.0.0.1:1/"} {
		if _, err := run(t, []string{"--probe=" + url}); err == nil {
			t.Errorf("--probe %s = nil", url)
		}
	}
	if err := (daemon.Stopping{DrainDelay: -1}).Check(); err == nil {
		t.Error("a negative delay is taken")
	}
}
