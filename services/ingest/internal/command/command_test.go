package command_test

import (
	"bytes"
	"context"
	"encoding/base64"
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
	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/command"
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

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// busURL starts a nats-server that listens, as a separate process would meet it.
func busURL(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Username: "ingest", Password: "bus-pass",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server is not ready")
	}
	return s.ClientURL()
}

func seed(t *testing.T, create func() (nkeys.KeyPair, error)) string {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return file(t, string(s)+"\n")
}

func environ(t *testing.T) []string {
	t.Helper()
	return []string{
		"FREEAGENT_INGEST_LISTEN=127.0.0.1:0", "FREEAGENT_API_KEY_FILE=" + file(t, "the-admin-key-0123456\n"),
		"FREEAGENT_NATS_URL=" + busURL(t), "FREEAGENT_NATS_USER=ingest", "FREEAGENT_NATS_PASSWORD_FILE=" + file(t, "bus-pass\n"),
		"FREEAGENT_WORKER_BUS_URL=nats://bus:4222", "FREEAGENT_BUS_ISSUER_FILE=" + seed(t, nkeys.CreateAccount),
		"FREEAGENT_BUS_XKEY_FILE=" + seed(t, nkeys.CreateCurveKeys), "FREEAGENT_ARTIFACT_URL=http://127.0.0.1:3002",
		"FREEAGENT_DATABASE_URL=sqlite://" + filepath.Join(t.TempDir(), "i.db"),
		"FREEAGENT_TOKEN_KEY_FILE=" + file(t, base64.StdEncoding.EncodeToString(make([]byte, 32))),
		"FREEAGENT_MAX_UPLOAD_MB=100", "FREEAGENT_MAX_FOLLOWERS=5", "FREEAGENT_WORKER_TTL=10m",
	}
}

func TestRunsUntilToldToStop(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log buffer
	ended := make(chan error, 1)
	env := environ(t)
	go func() { ended <- command.Run(ctx, nil, env, io.Discard, &log) }()
	address := regexp.MustCompile(`"address":"([^"]+)"`)
	deadline := time.Now().Add(20 * time.Second)
	for ready := false; !ready; {
		select {
		case err := <-ended:
			t.Fatalf("Run = %v\n%s", err, &log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("does not answer within 20 s\n%s", &log)
		}
		if m := address.FindStringSubmatch(log.String()); m != nil {
			ready = answers(t, "http://"+m[1]+"/livez")
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v after a stop, want nil", err)
	}
	for _, secret := range []string{"the-admin-key", "bus-pass"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

func answers(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func TestFaults(t *testing.T) {
	t.Parallel()
	good := environ(t)
	with := func(vars ...string) []string { return append(good[:len(good):len(good)], vars...) }
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"nothing set": {nil, []string{
			"FREEAGENT_API_KEY", "FREEAGENT_NATS_URL", "FREEAGENT_DATABASE_URL", "FREEAGENT_ARTIFACT_URL", "FREEAGENT_TOKEN_KEY_FILE",
			"FREEAGENT_BUS_ISSUER_FILE", "FREEAGENT_WORKER_BUS_URL",
		}},
		"no token key": {with("FREEAGENT_TOKEN_KEY_FILE=/no/such/file"), []string{"FREEAGENT_TOKEN_KEY_FILE", "/no/such/file"}},
		"short keys":   {with("FREEAGENT_TOKEN_KEY_FILE="+file(t, "short-secret"), "FREEAGENT_API_KEY=hush"), []string{"TokenKey has 12 bytes", "BootstrapKey"}},
		"long key":     {with("FREEAGENT_TOKEN_KEY_FILE=" + file(t, strings.Repeat("x", 5000))), []string{"longer than 4096"}},
		"no seed":      {with("FREEAGENT_BUS_ISSUER_FILE="+file(t, "hush"), "FREEAGENT_BUS_XKEY_FILE=/no/such"), []string{"FREEAGENT_BUS_ISSUER_FILE", "FREEAGENT_BUS_XKEY_FILE"}},
		"no secret":    {with("FREEAGENT_DATABASE_URL=", "FREEAGENT_DATABASE_URL_FILE=/no/such"), []string{"FREEAGENT_DATABASE_URL_FILE"}},
		"bad address":  {with("FREEAGENT_INGEST_LISTEN=nonsense"), []string{"listen"}},
		"bad database": {with("FREEAGENT_DATABASE_URL=mysql://u:hush@h/d"), []string{"scheme"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := command.Run(t.Context(), nil, c.env, io.Discard, io.Discard)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Run = %v, want %q in it", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "short-secret")) {
				t.Errorf("a secret is in %v", err)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	var out, errOut buffer
	if err := command.Run(t.Context(), []string{"-version"}, nil, &out, &errOut); err != nil || out.String() == "" {
		t.Errorf("-version = %q, %v", &out, err)
	}
	if err := command.Run(t.Context(), []string{"-h"}, nil, &out, &errOut); err != nil || !strings.Contains(errOut.String(), "FREEAGENT_TOKEN_KEY_FILE") {
		t.Errorf("-h = %q, %v", &errOut, err)
	}
	if err := command.Run(t.Context(), []string{"-nonsense"}, nil, &out, &errOut); err == nil {
		t.Error("an unknown flag is taken")
	}
}
