package settings_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/settings"
)

// config has settings under names that were renamed, one variable in two fields, and sizes.
type config struct {
	Beats  build.HeartbeatTimeouts `env:"FREEAGENT_HEARTBEAT_TIMEOUTS" help:"per stage"`
	Again  build.HeartbeatTimeouts `env:"FREEAGENT_HEARTBEAT_TIMEOUTS" help:"per stage"`
	Worker time.Duration           `env:"FREEAGENT_WORKER_TIMEOUT" help:"of a worker"`
	Size   int64                   `env:"FREEAGENT_MAX_UPLOAD_MB" unit:"MB" help:"of a submit"`
	Limits map[string]int64        `env:"FREEAGENT_STREAM_LIMITS_MB" unit:"MB" help:"of streams"`
	Slots  int                     `env:"FREEAGENT_WORKER_SLOTS" flag:"slots" help:"at once"`
	Format string                  `env:"FREEAGENT_LOG_FORMAT" help:"json or text"`
}

func defaults() config {
	return config{
		Beats: build.HeartbeatTimeouts{build.StageInstall: time.Minute}, Again: build.HeartbeatTimeouts{build.StageInstall: time.Hour},
		Worker: 15 * time.Second, Size: 1 << 20, Slots: 1, Format: "text",
	}
}

func foreign() map[string]string {
	return map[string]string{"FREEAGENT_NATS_URL": "it embeds its bus", "FREEAGENT_DATABASE_MAX_CONNS": "it uses SQLite", "FREEAGENT_S3_ACCESS_KEY": "it embeds its store"}
}

// load returns the settings and what was logged about them.
func load(t *testing.T, args []string, environ ...string) (config, string, error) {
	t.Helper()
	cfg := defaults()
	set := settings.New("prog", &cfg, foreign())
	flags := flag.NewFlagSet("prog", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, f := range set.Flags() {
		flags.Var(f, f.Name, f.Help)
	}
	if err := flags.Parse(args); err != nil {
		return cfg, "", err
	}
	err := set.Load(environ)
	var out bytes.Buffer
	log, logErr := observe.NewLogger(&out, "text", "")
	if logErr != nil {
		t.Fatal(logErr)
	}
	set.LogWarnings(t.Context(), log)
	return cfg, out.String(), err
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOldNames: an old name works wherever it stands, and one warning says what it is called today.
func TestOldNames(t *testing.T) {
	t.Parallel()
	conf := file(t, "FREEAGENT_WORKER_SILENCE=9s\n")
	for name, c := range map[string]struct{ args, environ []string }{
		"variable":     {nil, []string{"FREEAGENT_WORKER_SILENCE=9s"}},
		"flag":         {[]string{"--worker-silence", "9s"}, nil},
		"file":         {[]string{"--config", conf}, nil},
		"both alike":   {nil, []string{"FREEAGENT_WORKER_SILENCE=9s", "FREEAGENT_WORKER_TIMEOUT=9s"}},
		"flag over it": {[]string{"--worker-timeout", "9s"}, []string{"FREEAGENT_WORKER_SILENCE=5s"}},
		"it over file": {[]string{"--config", file(t, "FREEAGENT_WORKER_TIMEOUT=5s\n")}, []string{"FREEAGENT_WORKER_SILENCE=9s"}},
	} {
		cfg, log, err := load(t, c.args, c.environ...)
		if err != nil || cfg.Worker != 9*time.Second {
			t.Errorf("%s: %s, %v, want 9s", name, cfg.Worker, err)
		}
		if strings.Count(log, "setting renamed") != 1 || !strings.Contains(log, "old=FREEAGENT_WORKER_SILENCE new=FREEAGENT_WORKER_TIMEOUT") {
			t.Errorf("%s: log = %q, want one warning with both names", name, log)
		}
	}
}

// TestOldFlags: flags that were renamed alone, and a switch that is a value today.
func TestOldFlags(t *testing.T) {
	t.Parallel()
	cfg, log, err := load(t, []string{"--stage-ttl", "install=9s", "--stage-ttl", "pods=8s", "--log-json"})
	if err != nil || cfg.Format != "json" || cfg.Beats[build.StageInstall] != 9*time.Second || cfg.Beats[build.StagePods] != 8*time.Second {
		t.Errorf("old flags: %+v, %v", cfg, err)
	}
	for _, want := range []string{"old=--stage-ttl new=--heartbeat-timeouts", "old=--log-json new=--log-format"} {
		if !strings.Contains(log, want) {
			t.Errorf("log = %q, want %q", log, want)
		}
	}
}

// TestOldAndNewName: which of two different values is meant cannot be known.
func TestOldAndNewName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ args, environ []string }{
		"environment": {nil, []string{"FREEAGENT_WORKER_SILENCE=9s", "FREEAGENT_WORKER_TIMEOUT=8s"}},
		"flags":       {[]string{"--worker-silence", "9s", "--worker-timeout", "8s"}, nil},
	} {
		if _, _, err := load(t, c.args, c.environ...); err == nil || !strings.Contains(err.Error(), "FREEAGENT_WORKER_SILENCE is the old name of FREEAGENT_WORKER_TIMEOUT") {
			t.Errorf("%s: %v, want both names refused", name, err)
		}
	}
}

// TestNoSettingHasTwoNames: an old name is not a present one, and leads to one that some program reads.
func TestNoSettingHasTwoNames(t *testing.T) {
	t.Parallel()
	present := map[string]bool{}
	for _, name := range settings.Variables() {
		present[name] = true
	}
	for _, r := range settings.Renamed() {
		if present[r.Old] || !present[r.New] {
			t.Errorf("%s -> %s: want an old name and one of today", r.Old, r.New)
		}
	}
}

// TestNoEffect: what a program cannot follow is refused or, in an environment that others share, told.
func TestNoEffect(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--nats-url", "nats://h"}, {"--s3-access-key-file", "/f"},
		{"--config", file(t, "FREEAGENT_NATS_URL=nats://h\n")}, {"--config", file(t, "FREEAGENT_S3_ACCESS_KEY_FILE=/f\n")},
	} {
		if _, _, err := load(t, args); err == nil || !strings.Contains(err.Error(), "has no effect on prog: it embeds its") {
			t.Errorf("%q: %v, want the reason", args, err)
		}
	}
	cfg, log, err := load(t, nil, "FREEAGENT_NATS_URL=nats://h", "FREEAGENT_S3_ACCESS_KEY_FILE=/f", "FREEAGENT_DATABASE_CONNS=5", "FREEAGENT_URL=http://h")
	if diff := cmp.Diff(defaults(), cfg); err != nil || diff != "" {
		t.Errorf("Load = %v (-want +got):\n%s", err, diff)
	}
	for _, want := range []string{
		`setting=FREEAGENT_NATS_URL reason="it embeds its bus"`, `setting=FREEAGENT_S3_ACCESS_KEY_FILE reason="it embeds its store"`,
		`setting=FREEAGENT_DATABASE_CONNS reason="it uses SQLite"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("log = %q, want %q", log, want)
		}
	}
	if strings.Contains(log, "FREEAGENT_URL") {
		t.Errorf("log = %q, want nothing of a client's variable", log)
	}
}

// TestValues: units, maps that keep what is not named, and one variable for several fields.
func TestValues(t *testing.T) {
	t.Parallel()
	cfg, _, err := load(t, []string{"--slots", "3", "--stream-limits-mb", "A=1", "--stream-limits-mb", "B=2"}, "FREEAGENT_MAX_UPLOAD_MB=7",
		"FREEAGENT_HEARTBEAT_TIMEOUTS=pods=2m")
	want := defaults()
	want.Slots, want.Size, want.Limits = 3, 7<<20, map[string]int64{"A": 1 << 20, "B": 2 << 20}
	want.Beats[build.StagePods], want.Again[build.StagePods] = 2*time.Minute, 2*time.Minute
	if diff := cmp.Diff(want, cfg); err != nil || diff != "" {
		t.Errorf("Load = %v (-want +got):\n%s", err, diff)
	}
	for environ, want := range map[string]string{
		"FREEAGENT_MAX_UPLOAD_MB=9000000000000":   "FREEAGENT_MAX_UPLOAD_MB must be at most",
		"FREEAGENT_MAX_UPLOAD_MB=ten":             `FREEAGENT_MAX_UPLOAD_MB must be a whole number (got "ten")`,
		"FREEAGENT_WORKER_TIMEOUT=soon":           `FREEAGENT_WORKER_TIMEOUT must be a duration such as 90s or 15m (got "soon")`,
		"FREEAGENT_HEARTBEAT_TIMEOUTS=install":    `FREEAGENT_HEARTBEAT_TIMEOUTS: heartbeat timeouts must be stages and durations`,
		"FREEAGENT_STREAM_LIMITS_MB=BUILD_LOGS=x": "FREEAGENT_STREAM_LIMITS_MB: ",
		"FREEAGENT_MAX_UPLOADS_MB=1":              "FREEAGENT_MAX_UPLOADS_MB is not a setting; did you mean FREEAGENT_MAX_UPLOAD_MB?",
		"FREEAGENT_WORKER_SILENCES=1s":            "FREEAGENT_WORKER_SILENCES is not a setting of any program",
	} {
		if _, _, err := load(t, nil, environ); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", environ, err, want)
		}
	}
}

// TestUsage: defaults are as people write them.
func TestUsage(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	usage := settings.New("prog", &cfg, nil).Usage()
	for _, want := range []string{"--slots ", "of a submit (default 1)", "of a worker (default 15s)", "per stage (default install=1m)"} {
		if strings.Count(usage, want) != 1 {
			t.Errorf("Usage = %q, want %q once", usage, want)
		}
	}
	for _, r := range settings.Renamed() {
		if strings.Contains(usage, r.Old+" ") {
			t.Errorf("Usage names %s", r.Old)
		}
	}
}

func TestReadKey(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123456789abcdef"
	for name, content := range map[string]string{
		"bytes":  key,
		"hex":    "3031323334353637383961626364656630313233343536373839616263646566\n",
		"base64": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n",
	} {
		got, err := settings.ReadKey(file(t, content))
		if err != nil || string(got) != key {
			t.Errorf("%s: ReadKey = %q, %v", name, got, err)
		}
	}
	if _, err := settings.ReadKey("/no/such"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadKey of nothing = %v", err)
	}
}
