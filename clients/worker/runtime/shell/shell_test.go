//go:build linux || darwin

package shell_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/runtimetest"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func executor(t *testing.T, cfg shell.Config) *shell.Executor {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	e, err := shell.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSuite(t *testing.T) {
	t.Parallel()
	command := "true"
	fate := func(run string) func(*testing.T) runtime.Executor {
		return func(t *testing.T) runtime.Executor {
			// The fate is a variable that the worker lets through.
			return executor(t, shell.Config{
				Environ: []string{"PATH=" + os.Getenv("PATH"), "FATE=" + run, "npm_config_registry=unused"}, PassEnvPlain: []string{"FATE"},
			})
		}
	}
	runtimetest.Run(t, runtimetest.Fates{
		Succeed: fate(command), Fail: fate("exit 1"), Hang: fate(`trap "" TERM; while :; do sleep 1; done`),
		Source: func(t *testing.T, dir string) {
			file := `{"profiles": {"production": {"result": "out/*.txt", "stages": [
				{"name": "one", "run": "echo begin\nmkdir out\necho hello > out/result.txt"},
				{"name": "two", "run": "eval \"$FATE\"; echo end"}]}}}`
			if err := os.WriteFile(filepath.Join(dir, "freeagent.json"), []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	})
}

func run(t *testing.T, e *shell.Executor, script string, env map[string]string) string {
	t.Helper()
	w, err := e.Prepare(t.Context(), runtime.Job{
		BuildID: build.NewID(), Attempt: 2, Platform: build.Android, Profile: "preview", Project: "demo",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var out bytes.Buffer
	if err := w.Run(t.Context(), runtime.Command{Stage: "x", Run: script, Dir: w.Dir(), Env: env, Output: &out}); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out.String())
	}
	return out.String()
}

func TestTheEnvironmentIsScrubbed(t *testing.T) {
	t.Parallel()
	e := executor(t, shell.Config{
		PassEnv: []string{"SENTRY_AUTH_TOKEN", "SIGNING_PHRASE", "SHORT"}, PassEnvPlain: []string{"AUTH_TOKEN_KIND"},
		Environ: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=/root", "FREEAGENT_API_KEY=no-1", "FREEAGENT_WORKER_KEY=no-2", "CONTROLLER_API_KEY=no-3",
			"AWS_SECRET_ACCESS_KEY=no-4", "npm_config__authToken=no-5", "npm_config_//r.example/:_authToken=no-6", "NPM_TOKEN=no-7",
			"npm_config_userconfig=no-8", "SENTRY_AUTH_TOKEN=yes-1", "npm_config_registry=yes-2", "NODE_EXTRA_CA_CERTS=yes-3",
			"HTTPS_PROXY=http://u:proxypass@yes-4", "NPM_CONFIG_CAFILE=yes-5", "SIGNING_PHRASE=yes-8", "AUTH_TOKEN_KIND=yes-9", "SHORT=1",
		},
	})
	out := run(t, e, "env", map[string]string{"APP_ENV": "yes-6", "HOME": "no-9", "EXPO_OFFLINE": "yes-7"})
	for _, want := range []string{
		"yes-1", "yes-2", "yes-3", "yes-4", "yes-5", "yes-6", "yes-8", "yes-9", "EXPO_OFFLINE=yes-7", "CI=1", "EXPO_NO_TELEMETRY=1", "EAS_BUILD=true", "NODE_OPTIONS=--max-old-space-size=3072", "GRADLE_OPTS=-Dorg.gradle.jvmargs=",
		"EAS_BUILD_PLATFORM=android", "EAS_BUILD_PROFILE=preview", "EAS_BUILD_PROJECT_ID=demo", "npm_config_cache=", "LANG=",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the environment lacks %q", want)
		}
	}
	if strings.Contains(out, "no-") {
		t.Errorf("the environment has what it must not have:\n%s", out)
	}
	secrets := e.Secrets()
	slices.Sort(secrets)
	if got := strings.Join(secrets, " "); got != "1 proxypass yes-1 yes-8" {
		t.Errorf("Secrets = %q, want what was passed as a secret and the proxy's password", got)
	}
}

func TestKeysOfTheWorkerCannotBePassed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"FREEAGENT_API_KEY", "freeagent_worker_key", "CONTROLLER_API_KEY", "", "A=B"} {
		_, err := shell.New(t.Context(), shell.Config{Dir: t.TempDir(), PassEnv: []string{name}})
		if !errors.Is(err, shell.ErrPassEnv) {
			t.Errorf("New with %q = %v, want ErrPassEnv", name, err)
		}
		_, err = shell.New(t.Context(), shell.Config{Dir: t.TempDir(), PassEnvPlain: []string{name}})
		if !errors.Is(err, shell.ErrPassEnv) {
			t.Errorf("New with %q as plain = %v, want ErrPassEnv", name, err)
		}
	}
	both := []string{"MY_VARIABLE"}
	if _, err := shell.New(t.Context(), shell.Config{Dir: t.TempDir(), PassEnv: both, PassEnvPlain: both}); !errors.Is(err, shell.ErrPassEnv) {
		t.Errorf("New with a name in both lists = %v, want ErrPassEnv", err)
	}
}

// TestShortSecretsAreNamed: a passed value that cannot be masked is named when the worker starts, without the value.
func TestShortSecretsAreNamed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := shell.New(t.Context(), shell.Config{
		Dir: t.TempDir(), PassEnv: []string{"SHORT", "LONG", "UNSET"}, PassEnvPlain: []string{"PLAIN"}, Log: slog.New(slog.NewTextHandler(&out, nil)),
		Environ: []string{"SHORT=qq7", "LONG=long-enough", "PLAIN=x", "npm_config_registry=unused"},
	})
	if got := out.String(); err != nil || strings.Count(got, "variable=") != 1 || !strings.Contains(got, "variable=SHORT") || strings.Contains(got, "qq7") {
		t.Errorf("New = %v, and the log says\n%s", err, got)
	}
}

func TestCachesOutliveBuildsAndHomesDoNot(t *testing.T) {
	t.Parallel()
	e := executor(t, shell.Config{})
	run(t, e, `mkdir -p "$npm_config_cache"; echo 1 > "$npm_config_cache/x"; echo 1 > "$HOME/x"; echo 1 > "$TMPDIR/x"`, nil)
	out := run(t, e, `cat "$npm_config_cache/x"; ls "$HOME" "$TMPDIR"`, nil)
	if !strings.HasPrefix(out, "1\n") || strings.Contains(out, "x\n") {
		t.Errorf("the second build sees %q", out)
	}
}

// A worker that was killed left processes and a directory that nobody may write to.
func TestSweepEndsTheProcessesOfAnEarlierRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := executor(t, shell.Config{Dir: dir})
	w, err := e.Prepare(t.Context(), runtime.Job{BuildID: build.NewID(), Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	script := `mkdir locked locked/in; touch locked/in/x; chmod 0500 locked/in locked; (trap "" TERM; while :; do touch alive; sleep 0.05; done) & :`
	if err := w.Run(t.Context(), runtime.Command{Run: script, Dir: w.Dir(), Output: &out}); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { _, err := os.Stat(filepath.Join(w.Dir(), "alive")); return err == nil })
	if err := executor(t, shell.Config{Dir: dir}).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "builds"))
	if err != nil || len(left) != 0 {
		t.Errorf("after Sweep there is %v, %v", left, err)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 20 s")
		}
	}
}

// TestPipelines: with bash a pipeline fails at any of its commands, with sh at the last alone.
func TestPipelines(t *testing.T) {
	t.Parallel()
	e := executor(t, shell.Config{Environ: []string{"PATH=" + os.Getenv("PATH")}})
	for sh, fails := range map[pipeline.Shell]bool{"": false, pipeline.Sh: false, pipeline.Bash: true, pipeline.BashIfPresent: true} {
		w, err := e.Prepare(t.Context(), runtime.Job{BuildID: build.NewID(), Attempt: 1, Platform: build.Android})
		if err != nil {
			t.Fatal(err)
		}
		var exit *process.ExitError
		err = w.Run(t.Context(), runtime.Command{Stage: "x", Run: "(exit 65) | cat", Shell: sh, Dir: w.Dir()})
		if failed := errors.As(err, &exit); failed != fails || failed && exit.Code != 65 {
			t.Errorf("%q: Run = %v, want a failure: %t", sh, err, fails)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSetEnv: a hook of EAS sets variables for what runs after it, and not those of the worker.
func TestSetEnv(t *testing.T) {
	t.Parallel()
	e := executor(t, shell.Config{})
	w, err := e.Prepare(t.Context(), runtime.Job{
		BuildID: build.NewID(), Attempt: 1, Platform: build.IOS, Origin: build.Origin{Commit: "0a"},
		Settings: build.Settings{Username: "jo", BuildNumber: "42"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var out bytes.Buffer
	command := func(script string) error {
		return w.Run(t.Context(), runtime.Command{Stage: "x", Run: script, Dir: w.Dir(), Env: map[string]string{"A": "profile", "NODE_OPTIONS": "--trace-warnings"}, Output: &out})
	}
	for _, script := range []string{
		`set-env A "two words"; set-env EAS_BUILD_ID other; set-env FREEAGENT_URL 1; set-env HOME /tmp; ln -s /etc/hostname "$(dirname "$(command -v set-env)")/../env/LINK"`,
		`echo "A=$A"; env | grep -E "^(FREEAGENT_URL|LINK|EAS_|NODE_OPTIONS|HOME)" | sort`,
	} {
		if err := command(script); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out.String())
		}
	}
	for _, want := range []string{
		"A=two words\n", "EAS_BUILD_GIT_COMMIT_HASH=0a\n", "EAS_BUILD_USERNAME=jo\n", "EAS_BUILD_IOS_BUILD_NUMBER=42\n", "EAS_BUILD_PROFILE=production\n",
		"NODE_OPTIONS=--max-old-space-size=3072 --trace-warnings\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the second command lacks %q", want)
		}
	}
	for _, bad := range []string{"FREEAGENT_URL", "LINK", "EAS_BUILD_ID=other", "HOME=/tmp\n"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("the second command has %s:\n%s", bad, out.String())
		}
	}
	if err := command(`set-env "A B" x`); err == nil {
		t.Error("set-env accepted a name with a space")
	}
}
