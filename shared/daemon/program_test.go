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
	Stages map[string]time.Duration `env:"T_STAGES" envKeyValSeparator:"=" help:"by stage"`
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
	if diff := cmp.Diff(want, g.settings, cmp.AllowUnexported(settings{})); diff != "" {
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
		"required and parsed": {[]string{"T_WAIT=soon", "FREEAGENT_LOG_LEVEL=loud"}, []string{"T_SECRET", "T_WAIT", `log level "loud"`}},
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
		"Usage: prog", "Does it.", "T_LISTEN", "where (default here)", "T_SECRET", "* the secret (required)", "how long (default 1m0s)",
		"FREEAGENT_LOG_LEVEL", "_FILE",
	} {
		if !strings.Contains(g.err.String(), want) {
			t.Errorf("-h does not say %q:\n%s", want, &g.err)
		}
	}
	for _, args := range [][]string{{"-nonsense"}, {"serve"}} {
		if _, err := run(t, args, "T_SECRET=hush"); err == nil {
			t.Errorf("Main(%v) = nil, want an error", args)
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
		got, err := daemon.ReadKey(file(t, content))
		if err != nil || string(got) != key {
			t.Errorf("%s: ReadKey = %q, %v", name, got, err)
		}
	}
	if _, err := daemon.ReadKey("/no/such"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadKey of nothing = %v", err)
	}
}
