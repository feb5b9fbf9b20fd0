package standalone_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestSettingsReachTheServices starts a farm with a configuration file, the environment and flags, and looks at what it does.
func TestSettingsReachTheServices(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "farm.conf")
	if err := os.WriteFile(config, []byte("FREEAGENT_HEARTBEAT_TIMEOUTS=install=7m\nFREEAGENT_LOG_FORMAT=json\nFREEAGENT_MAX_WAITING_BUILDS=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &farm{t: t, dir: t.TempDir(), port: freePort(t), flags: []string{"--config", config, "--wait-alert", "9m"}, env: []string{
		"FREEAGENT_LOG_LEVEL=debug", "FREEAGENT_MAX_STAGE_TTL=50m", "FREEAGENT_NATS_URL=nats://elsewhere:4222",
	}}
	f.up()
	var timeouts struct {
		Effective struct {
			Silence   map[string]int64 `json:"silence_seconds"`
			WaitAlert int64            `json:"wait_alert_seconds"`
		} `json:"effective"`
	}
	body := f.read("/api/v2/timeouts?project=shop")
	if err := json.Unmarshal([]byte(body), &timeouts); err != nil {
		t.Fatal(err)
	}
	if got := timeouts.Effective; got.Silence["install"] != 420 || got.Silence["pods"] != 600 || got.WaitAlert != 540 || !strings.Contains(body, "3000") {
		t.Errorf("timeouts = %s, want 7 min for install, 10 for pods, an alert after 9, and at most 50", body)
	}
	f.submit()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // the client tries again
	defer cancel()
	if _, err := f.client().Builds.Submit(ctx, api.Submit{Platform: "android", Source: project(t)}); err == nil {
		t.Error("a second build waits, want at most one")
	}
	for _, want := range []string{`"level":"DEBUG"`, `"status":429`, `"old":"FREEAGENT_MAX_STAGE_TTL","new":"FREEAGENT_MAX_HEARTBEAT_TIMEOUT"`, `"setting":"FREEAGENT_NATS_URL","reason":"it embeds its bus"`} {
		if !strings.Contains(f.out.String(), want) {
			t.Errorf("log lacks %s", want)
		}
	}
}

// read returns what the API answers.
func (f *farm) read(path string) string {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.url()+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+farmKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		f.t.Fatalf("GET %s = %s, %v: %s", path, resp.Status, err, data)
	}
	return string(data)
}

// TestNonsenseIsRefused: what used to start silently ends with the exit code of a wrong call and says what is wrong.
func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"FREEAGENT_LOG_LEVEL=nonsense":           "log level must be debug, info, warn or error (got \"nonsense\")",
		"FREEAGENT_MAX_FOLLOWERS=many":           "FREEAGENT_MAX_FOLLOWERS must be a whole number (got \"many\")",
		"FREEAGENT_" + "LOG_LEVELS=debug":        "did you mean FREEAGENT_LOG_LEVEL?",
		"FREEAGENT_MAX_WAITING_BUILDS=0":         "max waiting builds must be positive (got 0)",
		"FREEAGENT_HEARTBEAT_TIMEOUTS=pods=1h1s": "heartbeat timeout of stage pods must be whole seconds, 1s to 1h (got 1h0m1s)",
	} {
		p := run(t, []string{variable}, "up", "--port", "0", "--data-dir", t.TempDir())
		select {
		case err := <-p.done:
			p.done <- err
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: up runs", variable)
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 2 || strings.Count(p.out.String(), want) != 1 {
			t.Errorf("%s: exit code %d, %q, want 2 and %q once", variable, code, p.out, want)
		}
	}
}
