package command_test

import (
	"encoding/base64"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/command"
	"github.com/expo-free-agent/freeagent/shared/daemon/daemontest"
)

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
	return daemontest.File(t, string(s)+"\n")
}

func environ(t *testing.T) []string {
	t.Helper()
	return append(daemontest.BusEnv(t, daemontest.Bus(t, "ingest"), "ingest"),
		"FREEAGENT_INGEST_LISTEN=127.0.0.1:0", "FREEAGENT_API_KEY_FILE="+daemontest.File(t, "the-admin-key-0123456\n"),
		"FREEAGENT_WORKER_BUS_URL=nats://bus:4222", "FREEAGENT_BUS_ISSUER_FILE="+seed(t, nkeys.CreateAccount),
		"FREEAGENT_BUS_XKEY_FILE="+seed(t, nkeys.CreateCurveKeys), "FREEAGENT_ARTIFACT_URL=http://127.0.0.1:3002",
		"FREEAGENT_DATABASE_URL=sqlite://"+filepath.Join(t.TempDir(), "i.db"),
		"FREEAGENT_TOKEN_KEY_FILE="+daemontest.File(t, base64.StdEncoding.EncodeToString(make([]byte, 32))),
		"FREEAGENT_MAX_UPLOAD_MB=100", "FREEAGENT_MAX_FOLLOWERS=5", "FREEAGENT_WORKER_CREDENTIALS_TTL=10m",
	)
}

func TestRunsUntilToldToStop(t *testing.T) {
	t.Parallel()
	p := daemontest.Start(t, command.Run, environ(t))
	p.Await("/livez", http.StatusOK, "")
	p.Stop("the-admin-key", daemontest.BusPassword)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	good := environ(t)
	with := func(vars ...string) []string { return append(good[:len(good):len(good)], vars...) }
	daemontest.Faults(t, command.Run, map[string]daemontest.Fault{
		"nothing set": {Want: []string{
			"FREEAGENT_API_KEY", "FREEAGENT_NATS_URL", "FREEAGENT_DATABASE_URL", "FREEAGENT_ARTIFACT_URL", "FREEAGENT_TOKEN_KEY_FILE",
			"FREEAGENT_BUS_ISSUER_FILE", "FREEAGENT_WORKER_BUS_URL",
		}},
		"bad origin":   {Env: with("FREEAGENT_STATS_ORIGINS=https://a.example,b.example/", "FREEAGENT_MAX_CONCURRENT_CERTS=0"), Want: []string{"b.example/", "max concurrent certs must be positive (got 0)"}},
		"no token key": {Env: with("FREEAGENT_TOKEN_KEY_FILE=/no/such/file"), Want: []string{"FREEAGENT_TOKEN_KEY_FILE", "/no/such/file"}},
		"short keys":   {Env: with("FREEAGENT_TOKEN_KEY_FILE="+daemontest.File(t, daemontest.Hush), "FREEAGENT_API_KEY="+daemontest.Hush), Want: []string{"token key must have at least 32 bytes (got 9)", "admin API key"}},
		"long key":     {Env: with("FREEAGENT_TOKEN_KEY_FILE=" + daemontest.File(t, strings.Repeat("x", 5000))), Want: []string{"longer than 4096"}},
		"no seed":      {Env: with("FREEAGENT_BUS_ISSUER_FILE="+daemontest.File(t, daemontest.Hush), "FREEAGENT_BUS_XKEY_FILE=/no/such"), Want: []string{"FREEAGENT_BUS_ISSUER_FILE", "FREEAGENT_BUS_XKEY_FILE"}},
		"no secret":    {Env: with("FREEAGENT_DATABASE_URL=", "FREEAGENT_DATABASE_URL_FILE=/no/such"), Want: []string{"FREEAGENT_DATABASE_URL_FILE"}},
		"bad address":  {Env: with("FREEAGENT_INGEST_LISTEN=nonsense"), Want: []string{"listen"}},
		"bad database": {Env: with("FREEAGENT_DATABASE_URL=mysql://u:" + daemontest.Hush + "@h/d"), Want: []string{"scheme"}},
	})
}

func TestFlags(t *testing.T) {
	t.Parallel()
	daemontest.Flags(t, command.Run, "FREEAGENT_TOKEN_KEY_FILE")
}
