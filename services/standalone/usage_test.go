package standalone_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/clients/worker/command"
	"github.com/expo-free-agent/freeagent/services/standalone"
)

// TestWrongCallsEndWith2 calls every kind of command with values that cannot be: scripts tell a call that is wrong from work that failed.
func TestWrongCallsEndWith2(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	dir := t.TempDir()
	env := map[string]string{"FREEAGENT_URL": f.url(), "FREEAGENT_API_KEY": farmKey, "HOME": dir, "FREEAGENT_DATA_DIR": filepath.Join(dir, "data")}
	for _, call := range []string{
		"worker --slots 0", "worker --slots 65", "worker --slots -1", "worker --executor nope", "worker --executor fake --fake bogus",
		"worker --fake slow=1s", "worker --platforms windows", "worker --server notaurl", "worker --cancel-grace-period -1s",
		"worker --telemetry-interval 1ms", "worker --log-limit-mb -1", "worker --drain-timeout -1s", "worker --pool a/b",
		"list --limit 1001", "list --limit 0", "list -n -5", "list --status bogus", "list --server ftp://x",
		"stats --from 2026-13-01", "stats --to yesterday", "stats --from 2026-11-02 --to 2026-11-01",
		"up --port 99999", "up --port -1", "up --executor nope --with-worker --port 0", "up --executor nope --port 0", "up --heartbeat-timeouts all=0s --port 0",
		"up --with-worker --slots 0 --port 0", "up --with-worker --slots 65 --port 0", "up --fake slow=1s --port 0", "up --executor fake --fake bogus --port 0",
		"up --cancel-grace-period -1s --port 0", "up --log-retention -1s --port 0", "up --log-limit-mb -1 --port 0", "up --telemetry-interval 1ms --port 0",
		"rules project shop --weight 1001", "rules project shop --max-priority 101", "rules project a --weight 5 --reset", "rules pool a --max-running 5 --reset",
		"rules pool a --max-running -1", "retention set --age banana --yes", "retention plan --limit 501", "webhooks deliveries x --limit 201", "submit . --platform windows",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			getenv := func(name string) string { return env[name] }
			var environ []string
			for name, value := range env {
				environ = append(environ, name+"="+value)
			}
			root := cli.NewRoot(&out, &errs, getenv, standalone.NewUp(&out, &errs, environ),
				command.New(command.IO{Environ: environ, Stdout: &out, Stderr: &errs}))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			args := strings.Fields(call)
			if args[0] == "worker" {
				args = append(args, "--state-dir", filepath.Join(t.TempDir(), "state"))
			}
			if code := cli.Execute(ctx, root, args); code != 2 || !strings.Contains(errs.String(), "freeagent: ") {
				t.Errorf("ended with %d, want 2, and said %q", code, errs.String())
			}
		})
	}
}
