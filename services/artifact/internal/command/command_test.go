package command_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/command"
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

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// busURL starts a nats-server that listens, as a separate process would meet it.
func busURL(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, Username: "artifact", Password: "bus-pass",
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

func environ(t *testing.T) []string {
	t.Helper()
	s3 := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(s3.Close)
	return []string{
		"FREEAGENT_ARTIFACT_LISTEN=127.0.0.1:0",
		"FREEAGENT_NATS_URL=" + busURL(t), "FREEAGENT_NATS_USER=artifact",
		"FREEAGENT_NATS_PASSWORD_FILE=" + file(t, "bus", "bus-pass\n"),
		"FREEAGENT_DATABASE_URL=sqlite://" + filepath.Join(t.TempDir(), "a.db"),
		"FREEAGENT_S3_ENDPOINT=" + strings.TrimPrefix(s3.URL, "http://"), "FREEAGENT_S3_TLS=false",
		"FREEAGENT_S3_ACCESS_KEY=access", "FREEAGENT_S3_SECRET_KEY=s3-secret",
		"FREEAGENT_TICKET_KEY_FILE=" + file(t, "ticket", base64.StdEncoding.EncodeToString(make([]byte, 32))),
		"FREEAGENT_MASTER_KEY_FILE=" + file(t, "master", hex.EncodeToString(make([]byte, 32))+"\n"),
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
			t.Fatalf("not ready within 20 s\n%s", &log)
		}
		if m := address.FindStringSubmatch(log.String()); m != nil {
			ready = status(t, "http://"+m[1]+"/readyz") == http.StatusOK
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v after a stop, want nil", err)
	}
	for _, secret := range []string{"s3-secret", "bus-pass"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestFaults(t *testing.T) {
	t.Parallel()
	good := environ(t)
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"nothing set":  {nil, []string{"FREEAGENT_NATS_URL", "FREEAGENT_DATABASE_URL", "FREEAGENT_S3_ENDPOINT", "FREEAGENT_TICKET_KEY_FILE"}},
		"no file":      {append(good[:len(good):len(good)], "FREEAGENT_TICKET_KEY_FILE=/no/such/file"), []string{"/no/such/file"}},
		"short key":    {append(good[:len(good):len(good)], "FREEAGENT_MASTER_KEY_FILE="+file(t, "k", "short-secret")), []string{"MasterKey has 12 bytes"}},
		"long key":     {append(good[:len(good):len(good)], "FREEAGENT_MASTER_KEY_FILE="+file(t, "k", strings.Repeat("x", 5000))), []string{"longer than 4096"}},
		"no secret":    {append(good[:len(good):len(good)], "FREEAGENT_S3_SECRET_KEY=", "FREEAGENT_S3_SECRET_KEY_FILE=/no/such"), []string{"FREEAGENT_S3_SECRET_KEY_FILE"}},
		"bad address":  {append(good[:len(good):len(good)], "FREEAGENT_ARTIFACT_LISTEN=nonsense"), []string{"listen"}},
		"bad database": {append(good[:len(good):len(good)], "FREEAGENT_DATABASE_URL=mysql://u:hush@h/d"), []string{"scheme"}},
		"limits":       {append(good[:len(good):len(good)], "FREEAGENT_MAX_CERTS_MB=4096", "FREEAGENT_MAX_SOURCE_MB=-1"), []string{"MaxCertsBytes", "MaxSourceBytes"}},
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
	if err := command.Run(t.Context(), []string{"-h"}, nil, &out, &errOut); err != nil || !strings.Contains(errOut.String(), "FREEAGENT_TICKET_KEY_FILE") {
		t.Errorf("-h = %q, %v", &errOut, err)
	}
	if err := command.Run(t.Context(), []string{"-nonsense"}, nil, &out, &errOut); err == nil {
		t.Error("an unknown flag is taken")
	}
}
