package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/daemon"
)

type Inner struct {
	Secret string `env:"T_SECRET,required" secret:"true" help:"the secret"`
}

type settings struct {
	Listen string `env:"T_LISTEN" help:"where"`
	Inner
	Wait   time.Duration            `env:"T_WAIT" help:"how long"`
	Stages map[string]time.Duration `env:"T_STAGES" help:"by stage"`
	Switch bool                     `env:"T_SWITCH" help:"whether"`
}

// got is what a program ran with.
type got struct {
	settings settings
	out, err bytes.Buffer
}

func run(t *testing.T, args []string, environ ...string) (*got, error) {
	t.Helper()
	g := &got{}
	err := daemon.Program[settings]{
		Name: "prog", About: "Does it.", Defaults: settings{Listen: "here", Wait: time.Minute},
		Check: func(s settings) error {
			if s.Wait < 0 {
				return errors.New("wait is negative")
			}
			return nil
		},
		Run: func(ctx context.Context, s settings, log *slog.Logger) error {
			log.InfoContext(ctx, "runs")
			g.settings = s
			return nil
		},
	}.Main(t.Context(), args, environ, &g.out, &g.err)
	return g, err
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettings(t *testing.T) {
	t.Parallel()
	g, err := run(t, nil, "T_SECRET_FILE="+file(t, "hush\n"), "T_WAIT=0s", "T_STAGES=a=1s,b=2m", "OTHER=x", "FREEAGENT_LOG_FORMAT=text")
	if err != nil {
		t.Fatal(err)
	}
	want := settings{Listen: "here", Inner: Inner{Secret: "hush"}, Stages: map[string]time.Duration{"a": time.Second, "b": 2 * time.Minute}}
	if diff := cmp.Diff(want, g.settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if !strings.Contains(g.err.String(), "msg=runs") {
		t.Errorf("log = %q, want text", &g.err)
	}
	g, err = run(t, nil, "T_SECRET=first", "T_SECRET_FILE=/no/such")
	if err != nil || g.settings.Secret != "first" || g.settings.Wait != time.Minute || !strings.HasPrefix(g.err.String(), "{") {
		t.Errorf("Main = %+v, %v, want the variable, the default and a log in JSON", g.settings, err)
	}
}

func TestFaultsAreNamedTogether(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ, want []string
	}{
		"required and parsed": {[]string{"T_WAIT=soon", "FREEAGENT_LOG_LEVEL=loud"}, []string{"T_SECRET is required and not set", "log level must be debug, info, warn or error (got \"loud\")", `T_WAIT must be a duration such as 90s or 15m (got "soon")`}},
		"checked besides":     {[]string{"T_WAIT=-1s", "T_STAGES=a=b"}, []string{"T_SECRET", "T_STAGES", "wait is negative"}},
		"no file":             {[]string{"T_SECRET_FILE=/no/such"}, []string{"T_SECRET_FILE: open /no/such"}},
		"wrong file":          {[]string{"T_SECRET_FILE=" + file(t, strings.Repeat("hush", 2000))}, []string{"longer than 4096"}},
	} {
		_, err := run(t, nil, c.environ...)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Main = %v, want %q in it", name, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: a secret is in %v", name, err)
		}
	}
}

// TestSources: the command line goes before the environment, that before the file; and of a secret's two forms the one that
// comes first counts, wherever the other is.
func TestSources(t *testing.T) {
	t.Parallel()
	config := file(t, "# all of it\n\nT_SECRET = 'of the file'\nT_LISTEN=\"file\"\nT_WAIT=3s\nFREEAGENT_HEARTBEAT_GRACE_PERIOD=1s\n")
	for name, c := range map[string]struct {
		args, environ []string
		want          settings
	}{
		"file":         {[]string{"--config", config}, nil, settings{Listen: "file", Inner: Inner{"of the file"}, Wait: 3 * time.Second}},
		"environment":  {nil, []string{"FREEAGENT_CONFIG_FILE=" + config, "T_LISTEN=env"}, settings{Listen: "env", Inner: Inner{"of the file"}, Wait: 3 * time.Second}},
		"command line": {[]string{"--config=" + config, "--t-wait", "5s"}, []string{"T_WAIT=4s"}, settings{Listen: "file", Inner: Inner{"of the file"}, Wait: 5 * time.Second}},
		"secret file":  {[]string{"--config=" + config, "--t-secret-file", file(t, "flag")}, nil, settings{Listen: "file", Inner: Inner{"flag"}, Wait: 3 * time.Second}},
		"secret of the environment": {
			[]string{"--config=" + config}, []string{"T_SECRET_FILE=" + file(t, "env")},
			settings{Listen: "file", Inner: Inner{"env"}, Wait: 3 * time.Second},
		},
	} {
		g, err := run(t, c.args, c.environ...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, g.settings); diff != "" {
			t.Errorf("%s: settings (-want +got):\n%s", name, diff)
		}
	}
}

func TestWrongSourcesAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args, environ, want []string
	}{
		"no file":         {[]string{"--config", "/no/such"}, nil, []string{"/no/such"}},
		"unknown in file": {[]string{"--config", file(t, "T_LISTN=x\nFREEAGENT_WHATEVER_IT_IS=1")}, nil, []string{"T_LISTN is not a setting; did you mean T_LISTEN?", "FREEAGENT_WHATEVER_IT_IS is not a setting of any"}},
		"no setting":      {[]string{"--config", file(t, "T_LISTEN=x\nhush hush\nT_LISTEN=y\n")}, nil, []string{"line 2: a line must be NAME=value", "line 3: T_LISTEN is set a second time"}},
		"long":            {[]string{"--config", file(t, strings.Repeat("# hush\n", 20000))}, nil, []string{"longer than"}},
		"misspelled":      {nil, []string{"FREEAGENT_LOG_LEVELS=debug"}, []string{"did you mean FREEAGENT_LOG_LEVEL?"}},
		"link":            {nil, []string{"FREEAGENT_INGEST_SERVICE_HOST=10.0.0.1"}, []string{"FREEAGENT_INGEST_SERVICE_HOST"}},
	} {
		_, err := run(t, c.args, append(c.environ, "T_SECRET=x")...)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Main = %v, want %q in it", name, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: a secret is in %v", name, err)
		}
	}
	if _, err := run(t, nil, "T_SECRET=x", "KUBERNETES_SERVICE_HOST=10.0.0.1", "FREEAGENT_INGEST_SERVICE_HOST=10.0.0.2",
		"FREEAGENT_INGEST_PORT_3000_TCP_ADDR=10.0.0.2", "FREEAGENT_INGEST_SERVICE_PORT_HTTP=3000"); err != nil {
		t.Errorf("the links that Kubernetes sets: %v", err)
	}
}

func TestCheckConfig(t *testing.T) {
	t.Parallel()
	g, err := run(t, []string{"--check-config"}, "T_SECRET=hush")
	if err != nil || g.out.String() != "configuration OK\n" || g.settings.Secret != "" {
		t.Errorf("--check-config = %q, %v; ran with %+v, want it not run", &g.out, err, g.settings)
	}
	if g, err := run(t, []string{"--check-config"}, "T_WAIT=-1s"); err == nil || g.out.Len() > 0 || !strings.Contains(err.Error(), "negative") {
		t.Errorf("--check-config of a faulty one = %q, %v", &g.out, err)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	g, err := run(t, []string{"-version"})
	if err != nil || g.out.Len() == 0 {
		t.Errorf("-version = %q, %v", &g.out, err)
	}
	g, err = run(t, []string{"-h"}, "T_SECRET=hush")
	if err != nil || strings.Contains(g.err.String(), "hush") {
		t.Errorf("-h = %q, %v", &g.err, err)
	}
	for _, want := range []string{
		"Usage: prog", "Does it.", "T_LISTEN", "where (default here)", "T_SECRET", "* the secret (required)", "how long (default 1m)",
		"FREEAGENT_LOG_LEVEL", "_FILE", "--t-secret-file", "--t-listen", "--check-config",
	} {
		if !strings.Contains(g.err.String(), want) {
			t.Errorf("-h does not say %q:\n%s", want, &g.err)
		}
	}
	for _, args := range [][]string{{"-nonsense"}, {"serve"}, {"--t-secret", "hush"}} {
		if _, err := run(t, args, "T_SECRET=hush"); err == nil {
			t.Errorf("Main(%v) = nil, want an error", args)
		}
	}
}

// TestSwitches: a switch stands alone or with a value, as a flag and as an argument after it.
func TestSwitches(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{"--t-switch": true, "--t-switch true": true, "--t-switch=false": false, "--t-switch false": false} {
		g, err := run(t, strings.Fields(line+" --t-wait 5s"), "T_SECRET=x", "T_SWITCH=true")
		if err != nil || g.settings.Switch != want || g.settings.Wait != 5*time.Second {
			t.Errorf("%s: Main = %+v, %v, want %t", line, g.settings, err, want)
		}
	}
}
