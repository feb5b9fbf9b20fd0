package command_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/command"
	"github.com/expo-free-agent/freeagent/shared/daemon/daemontest"
)

func environ(t *testing.T) []string {
	t.Helper()
	s3 := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(s3.Close)
	return append(daemontest.BusEnv(t, daemontest.Bus(t, "artifact"), "artifact"),
		"FREEAGENT_ARTIFACT_LISTEN=127.0.0.1:0",
		"FREEAGENT_DATABASE_URL=sqlite://"+filepath.Join(t.TempDir(), "a.db"),
		"FREEAGENT_S3_ENDPOINT="+strings.TrimPrefix(s3.URL, "http://"), "FREEAGENT_S3_TLS=false",
		"FREEAGENT_S3_ACCESS_KEY=access", "FREEAGENT_S3_SECRET_KEY=s3-secret",
		"FREEAGENT_TICKET_KEY_FILE="+daemontest.File(t, base64.StdEncoding.EncodeToString(make([]byte, 32))),
		"FREEAGENT_MASTER_KEY_FILE="+daemontest.File(t, hex.EncodeToString(make([]byte, 32))+"\n"),
	)
}

func TestRunsUntilToldToStop(t *testing.T) {
	t.Parallel()
	p := daemontest.Start(t, command.Run, environ(t))
	p.Await("/readyz", http.StatusOK, "")
	p.Stop("s3-secret", daemontest.BusPassword)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	good := environ(t)
	with := func(vars ...string) []string { return append(good[:len(good):len(good)], vars...) }
	daemontest.Faults(t, command.Run, map[string]daemontest.Fault{
		"nothing set":  {Want: []string{"FREEAGENT_NATS_URL", "FREEAGENT_DATABASE_URL", "FREEAGENT_S3_ENDPOINT", "FREEAGENT_TICKET_KEY_FILE"}},
		"no file":      {Env: with("FREEAGENT_TICKET_KEY_FILE=/no/such/file"), Want: []string{"/no/such/file"}},
		"short key":    {Env: with("FREEAGENT_MASTER_KEY_FILE=" + daemontest.File(t, daemontest.Hush)), Want: []string{"master key must have 32 bytes (got 9)"}},
		"long key":     {Env: with("FREEAGENT_MASTER_KEY_FILE=" + daemontest.File(t, strings.Repeat("x", 5000))), Want: []string{"longer than 4096"}},
		"no secret":    {Env: with("FREEAGENT_S3_SECRET_KEY=", "FREEAGENT_S3_SECRET_KEY_FILE=/no/such"), Want: []string{"FREEAGENT_S3_SECRET_KEY_FILE"}},
		"bad address":  {Env: with("FREEAGENT_ARTIFACT_LISTEN=nonsense"), Want: []string{"listen"}},
		"bad database": {Env: with("FREEAGENT_DATABASE_URL=mysql://u:" + daemontest.Hush + "@h/d"), Want: []string{"scheme"}},
		"limits": {Env: with("FREEAGENT_MAX_CERTS_MB=4096", "FREEAGENT_MAX_SOURCE_MB=-1", "FREEAGENT_LOG_RETENTION=-1h", "FREEAGENT_LOG_ARCHIVE_CONCURRENCY=0"),
			Want: []string{"max certificate bytes", "max source bytes", "log retention", "log archive concurrency"}},
	})
}

func TestFlags(t *testing.T) {
	t.Parallel()
	daemontest.Flags(t, command.Run, "FREEAGENT_TICKET_KEY_FILE")
}
