package command_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/command"
)

func execute(t *testing.T, env map[string]string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	cmd := command.New(command.IO{Environ: environ, Stdout: &out, Stderr: &out})
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	out, err := execute(t, nil, "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"freeagent worker --server", "--pass-env", "--drain-timeout", "slow=2s", "FREEAGENT_WORKER_KEY", "SIGTERM"} {
		if !strings.Contains(out, want) {
			t.Errorf("--help lacks %q", want)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	env := map[string]string{"FREEAGENT_API_KEY": "a-key-of-sixteen", "FREEAGENT_URL": "http://localhost:1", "HOME": t.TempDir()}
	without := func(name string) map[string]string {
		rest := map[string]string{}
		for k, v := range env {
			if k != name {
				rest[k] = v
			}
		}
		return rest
	}
	with := func(name, value string) map[string]string {
		more := without("")
		more[name] = value
		return more
	}
	empty := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"no key":         {without("FREEAGENT_API_KEY"), nil, "API key is needed"},
		"no server":      {without("FREEAGENT_URL"), nil, "no server given"},
		"no state":       {without("HOME"), nil, "--state-dir"},
		"empty key":      {env, []string{"--key-file", empty}, "is empty"},
		"no such file":   {env, []string{"--key-file", "/no/such/file"}, "--key-file: open /no/such/file"},
		"bad address":    {env, []string{"--server", "ftp://x"}, "server address"},
		"slots":          {env, []string{"--slots", "0"}, "slots must be positive (got 0)"},
		"platform":       {env, []string{"--platforms", "android,web"}, "web"},
		"executor":       {env, []string{"--executor", "vm"}, "executor must be shell or fake"},
		"fake option":    {env, []string{"--executor", "fake", "--fake", "quick"}, "no such option"},
		"fake and shell": {env, []string{"--fake", "slow=1s"}, "need --executor fake"},
		"pass-env":       {env, []string{"--pass-env", "FREEAGENT_API_KEY"}, "belongs to the worker"},
		"pass-env-plain": {env, []string{"--pass-env-plain", "FREEAGENT_API_KEY"}, "belongs to the worker"},
		"passed twice":   {env, []string{"--pass-env", "A", "--pass-env-plain", "A"}, "both as a secret and as plain"},
		"work-dir":       {env, []string{"--work-dir", "/srv/free agent"}, "has a space"},
		"long work-dir":  {env, []string{"--work-dir", "/" + strings.Repeat("x", 60)}, "too long for Unix sockets"},
		"pool":           {env, []string{"--pool", "a.b"}, "pool"},
		"an argument":    {env, []string{"now"}, "now"},
		"no number":      {env, []string{"--slots", "many"}, `--slots must be a whole number (got "many")`},
		"log level":      {with("FREEAGENT_LOG_LEVEL", "loud"), nil, "log level must be debug, info, warn or error"},
		"grace":          {with("FREEAGENT_CANCEL_GRACE_PERIOD", "-1s"), nil, "cancel grace period must not be negative"},
		"misspelled":     {with("FREEAGENT_"+"WORKER_POOLS", "a"), nil, "did you mean FREEAGENT_WORKER_POOL?"},
	} {
		if _, err := execute(t, tt.env, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.want)
		}
	}
}

// TestSettings: flags, variables and a file set a worker's settings alike, old names included.
func TestSettings(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "worker.conf")
	if err := os.WriteFile(config, []byte("FREEAGENT_URL=http://localhost:1\nFREEAGENT_WORKER_KEY=a-key-of-sixteen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": t.TempDir(), "FREEAGENT_CANCEL_GRACE": "3s", "FREEAGENT_WORKER_SLOTS": "2", "FREEAGENT_LOG_FORMAT": "json"}
	out, err := execute(t, env, "--config", config, "--telemetry-every", "2s", "--bus", "nats://leaf", "--check-config")
	if err != nil || !strings.HasSuffix(out, "configuration OK\n") {
		t.Errorf("--check-config = %q, %v", out, err)
	}
	for _, want := range []string{`"old":"FREEAGENT_CANCEL_GRACE","new":"FREEAGENT_CANCEL_GRACE_PERIOD"`, `"old":"--telemetry-every"`, `"old":"--bus","new":"--bus-url"`} {
		if !strings.Contains(out, want) {
			t.Errorf("log = %q, want %q", out, want)
		}
	}
	out, err = execute(t, env, "--list-settings")
	if err != nil || !strings.Contains(out, "FREEAGENT_WORKER_SLOTS") || strings.Contains(out, "telemetry-every") {
		t.Errorf("--list-settings = %q, %v, want the present names", out, err)
	}
}

func TestARefusedKeyIsFinal(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" && r.Header.Get("X-API-Key") == "" {
			t.Error("no key was sent")
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte(`{"status": 401, "code": "not_authorized", "detail": "unknown key"}`))
	}))
	t.Cleanup(srv.Close)
	env := map[string]string{"FREEAGENT_WORKER_KEY": "a-key-of-sixteen"}
	out, err := execute(t, env, "--server", srv.URL, "--state-dir", t.TempDir(), "--executor", "fake")
	if err == nil || !strings.Contains(err.Error(), "does not accept the API key") {
		t.Errorf("err = %v, want one that says that the key is unknown", err)
	}
	if strings.Contains(out+err.Error(), "a-key-of-sixteen") {
		t.Error("the key shows")
	}
}
