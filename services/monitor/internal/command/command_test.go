package command_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/command"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// busServer is a nats-server that listens, as a separate process would meet it.
func busServer(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Username: "monitor", Password: "bus-pass",
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

func environ(t *testing.T, srv *server.Server) []string {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("bus-pass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"FREEAGENT_MONITOR_LISTEN=127.0.0.1:0", "FREEAGENT_DATABASE_URL=" + databasetest.Postgres(t),
		"FREEAGENT_NATS_URL=" + srv.ClientURL(), "FREEAGENT_NATS_USER=monitor", "FREEAGENT_NATS_PASSWORD_FILE=" + password,
		"FREEAGENT_STAGE_TTLS=install=3m,ours=1m",
	}
}

var address = regexp.MustCompile(`"address":"([^"]+)"`)

// TestServesUntilToldToStop: ready when it can work, not ready with the reason when the bus goes, and a clean end either way.
func TestServesUntilToldToStop(t *testing.T) {
	t.Parallel()
	srv := busServer(t)
	env := environ(t, srv)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log buffer
	ended := make(chan error, 1)
	go func() { ended <- command.Run(ctx, nil, env, io.Discard, &log) }()
	await(t, ended, &log, "/livez", http.StatusOK, "ok")
	await(t, ended, &log, "/readyz", http.StatusServiceUnavailable, "stream not found")
	makeStreams(t, srv)
	await(t, ended, &log, "/readyz", http.StatusOK, "ok")
	srv.Shutdown()
	await(t, ended, &log, "/readyz", http.StatusServiceUnavailable, "not ready: ")
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run = %v after a stop, want nil", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("does not stop")
	}
	if strings.Contains(log.String(), "bus-pass") {
		t.Error("the password is in the log")
	}
}

// makeStreams does what the scheduler does.
func makeStreams(t *testing.T, srv *server.Server) {
	t.Helper()
	nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo("monitor", "bus-pass"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := bus.JetStream(nc)
	if err == nil {
		err = bus.Ensure(t.Context(), js, bus.NewTopology(1))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// await polls a path until it answers as wanted.
func await(t *testing.T, ended <-chan error, log *buffer, path string, status int, text string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		select {
		case err := <-ended:
			t.Fatalf("Run = %v\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
		m := address.FindStringSubmatch(log.String())
		if m == nil {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m[1]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got = resp.Status + " " + string(body); resp.StatusCode == status && strings.Contains(got, text) {
			return
		}
	}
	t.Fatalf("%s = %q, want %d %q\n%s", path, got, status, text, log)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	srv := busServer(t)
	good := environ(t, srv)
	with := func(vars ...string) []string { return append(good[:len(good):len(good)], vars...) }
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"all at once": {[]string{"FREEAGENT_STAGE_TTLS=install=1ms", "FREEAGENT_DATABASE_CONNS=many"},
			[]string{"FREEAGENT_NATS_URL", "FREEAGENT_DATABASE_URL", "TTL of stage install", "FREEAGENT_DATABASE_CONNS"}},
		"no secret":      {with("FREEAGENT_NATS_PASSWORD_FILE=/no/such"), []string{"FREEAGENT_NATS_PASSWORD_FILE", "/no/such"}},
		"bad address":    {with("FREEAGENT_MONITOR_LISTEN=nonsense"), []string{"listen"}},
		"taken port":     {with("FREEAGENT_MONITOR_LISTEN=" + taken.Addr().String()), []string{"in use"}},
		"bad database":   {with("FREEAGENT_DATABASE_URL=mysql://u:hush@h/d"), []string{"scheme"}},
		"no bus":         {with("FREEAGENT_NATS_URL=nats://127.0.0.1:1"), []string{"connect to the bus"}},
		"wrong password": {with("FREEAGENT_NATS_PASSWORD=hush"), []string{"Authorization"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := command.Run(t.Context(), nil, c.env, io.Discard, io.Discard)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Run = %v, want %q in it", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("a secret is in %v", err)
			}
		})
	}
}
