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
	cmd := command.New(command.IO{Getenv: func(k string) string { return env[k] }, Stderr: &out})
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
		"no such file":   {env, []string{"--key-file", "/no/such/file"}, "read the API key"},
		"bad address":    {env, []string{"--server", "ftp://x"}, "server address"},
		"slots":          {env, []string{"--slots", "0"}, "at least 1"},
		"platform":       {env, []string{"--platforms", "android,web"}, "web"},
		"executor":       {env, []string{"--executor", "vm"}, "shell or fake"},
		"fake option":    {env, []string{"--executor", "fake", "--fake", "quick"}, "no such option"},
		"fake and shell": {env, []string{"--fake", "slow=1s"}, "needs --executor fake"},
		"pass-env":       {env, []string{"--pass-env", "FREEAGENT_API_KEY"}, "belongs to the worker"},
		"pool":           {env, []string{"--pool", "a.b"}, "pool"},
		"an argument":    {env, []string{"now"}, "now"},
	} {
		if _, err := execute(t, tt.env, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.want)
		}
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
