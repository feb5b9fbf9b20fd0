//go:build linux || darwin

package worker_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// workspaceApp is a workspace of npm with an app, whose package expo is one of its own, so that no registry is asked. hooks are scripts of
// the app, more are further files: name, content.
func workspaceApp(t *testing.T, hooks string, more ...string) []byte {
	t.Helper()
	files := slices.Concat(more, []string{
		"package.json", `{"name":"root","private":true,"workspaces":["apps/*","packages/*"]}`,
		"apps/shop/package.json", `{"name":"shop","version":"1.0.0","dependencies":{"expo":"1.0.0"},"scripts":{` + hooks + `}}`,
		"packages/expo/package.json", `{"name":"expo","version":"1.0.0","bin":{"expo":"cli.js"}}`,
		"packages/expo/cli.js", "#!/usr/bin/env node\nconst fs=require('fs');fs.mkdirSync('dist');fs.writeFileSync('dist/made',process.argv.slice(2).join(' '));" +
			"if(fs.existsSync('fail'))process.exit(7);" +
			// As Metro: what was transformed once is not looked at again.
			"if(fs.existsSync('metro')){const c=require('os').tmpdir()+'/metro-cache';if(!fs.existsSync(c))fs.writeFileSync(c,''+process.env.EXPO_PUBLIC_SET);" +
			"console.log('said bundle '+fs.readFileSync(c,'utf8'))}\n",
	})
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, []byte(files[i+1]), 0o755))
	}
	npm := exec.CommandContext(t.Context(), "npm", "install", "--package-lock-only", "--offline", "--no-audit")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm (Node 20 or newer must be installed): %v: %s", err, out)
	}
	lock, err := fs.ReadFile(os.DirFS(dir), "package-lock.json")
	must(t, err)
	return project(t, append(files, "package-lock.json", string(lock))...)
}

// submitApp submits a source whose app is in path.
func (f *farm) submitApp(source []byte, path string) string {
	f.t.Helper()
	return f.submitWith(source, func(b *schedulerv1.Build) { b.Settings = &schedulerv1.BuildSettings{AppPath: path, Username: "jo"} })
}

const endHooks = `"eas-build-on-success":"echo said success","eas-build-on-error":"echo said error",` +
	`"eas-build-on-complete":"echo said complete $EAS_BUILD_STATUS","eas-build-on-cancel":"echo said cancel"`

// TestAppOfAWorkspace: it is installed at the root by the root's lock file, and built in its own directory between its hooks.
func TestAppOfAWorkspace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		hooks   string
		outcome schedulerv1.FinishRequest_Outcome
		want    string // what the hooks said, in order
	}{
		"success": {
			`"eas-build-pre-install":"test ! -e ../../node_modules && set-env SET before && echo said pre",` +
				`"eas-build-post-install":"test -e ../../node_modules/expo && echo said post $SET as $EAS_BUILD_USERNAME",` + endHooks,
			schedulerv1.FinishRequest_OUTCOME_COMPLETED, "pre; post before as jo; success; complete finished",
		},
		"a stage fails":        {`"eas-build-post-install":"touch fail",` + endHooks, schedulerv1.FinishRequest_OUTCOME_FAILED, "error; complete errored"},
		"the first hook fails": {`"eas-build-pre-install":"exit 4",` + endHooks, schedulerv1.FinishRequest_OUTCOME_FAILED, "error; complete errored"},
		"the last hook fails": {
			strings.Replace(endHooks, "echo said success", "exit 5", 1), schedulerv1.FinishRequest_OUTCOME_FAILED, "error; complete errored",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			f.start(f.shell(t.TempDir()), nil)
			id := f.submitApp(workspaceApp(t, tt.hooks), "apps/shop")
			got := f.finished(id)
			log := f.logOf(id)
			if got.GetOutcome() != tt.outcome {
				t.Fatalf("finish = %v, want %v; log:\n%s", got, tt.outcome, log)
			}
			if said := hooksSaid(log); said != tt.want {
				t.Errorf("hooks said %q, want %q; log:\n%s", said, tt.want, log)
			}
		})
	}
}

// TestCancelHook: the hook of a cancelled build runs, and the workspace is gone afterwards.
func TestCancelHook(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	dir := t.TempDir()
	f.start(f.shell(dir), nil)
	id := f.submitApp(workspaceApp(t, `"eas-build-post-install":"echo > $NOTES/waiting; sleep 600","eas-build-on-cancel":"echo > $NOTES/cancelled"`), "apps/shop")
	f.eventually("the build waits", func() bool { return fileExists(filepath.Join(dir, "waiting")) })
	f.control(f.await(id, "held", func(b *farmBuild) bool { return b.holder != "" }).holder, cancelOrder(id))
	f.eventually("the workspace is gone", func() bool {
		left, err := os.ReadDir(filepath.Join(dir, "builds"))
		return err == nil && len(left) == 0
	})
	if !fileExists(filepath.Join(dir, "cancelled")) {
		t.Error("the hook has not run")
	}
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// hooksSaid returns what hooks wrote behind "said", in the order of the log.
func hooksSaid(log string) string {
	var said []string
	for line := range strings.Lines(log) {
		if what, ok := strings.CutPrefix(strings.TrimSpace(line), "said "); ok {
			said = append(said, what)
		}
	}
	return strings.Join(said, "; ")
}

// TestSecondBuild: what was installed comes from the cache while nothing that it depends on has changed, and a pull request reads the caches of
// main, not the other way round.
func TestSecondBuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	// The install writes outside of node_modules, too.
	const hooks = `"postinstall":"date +%N > made-by-install","eas-build-post-install":"echo said $(cat made-by-install) $(ls ../../node_modules/.bin)"`
	source := workspaceApp(t, hooks)
	made := map[string]string{}
	for _, step := range []struct {
		name, branch, project string
		source                []byte
		same                  string // the step whose install this one has; empty: it installs
	}{
		{name: "pull request", branch: "fix/1", project: "shop", source: source},
		{name: "main", branch: "main", project: "shop", source: source},
		{name: "main again", branch: "main", project: "shop", source: source, same: "main"},
		{name: "another pull request", branch: "fix/2", project: "shop", source: source, same: "main"},
		{name: "the pull request again", branch: "fix/1", project: "shop", source: source, same: "pull request"},
		{name: "another project", branch: "main", project: "other", source: source},
		{name: "no project", branch: "main", source: source},
		{name: "changed", branch: "main", project: "shop", source: workspaceApp(t, hooks+`,"x":"y"`)},
	} {
		id := f.submitWith(step.source, func(b *schedulerv1.Build) {
			b.Project, b.Settings = step.project, &schedulerv1.BuildSettings{AppPath: "apps/shop"}
			b.Origin = &schedulerv1.Origin{Branch: step.branch}
		})
		got := f.finished(id)
		log := f.logOf(id)
		if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
			t.Fatalf("%s: finish = %v; log:\n%s", step.name, got, log)
		}
		made[step.name] = hooksSaid(log)
		if restored := strings.Contains(log, "install from the cache"); restored != (step.same != "") || restored && made[step.name] != made[step.same] {
			t.Errorf("%s: restored is %v, the install made %q, want that of %q (%q); log:\n%s", step.name, restored, made[step.name], step.same, made[step.same], log)
		}
	}
}

// TestVariablesOfTheBundle: a variable that a hook sets, or that the worker passes, is in the bundle, whatever an earlier build had.
func TestVariablesOfTheBundle(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	app := func(value string) []byte {
		return workspaceApp(t, `"eas-build-post-install":"set-env EXPO_PUBLIC_SET $(cat value)"`, "apps/shop/value", value, "apps/shop/metro", "")
	}
	for i, tt := range []struct {
		value  string
		cached bool
	}{{"1", false}, {"1", true}, {"2", false}, {"1", true}, {"2", true}} {
		id := f.submitWith(app(tt.value), func(b *schedulerv1.Build) {
			b.Project, b.Settings = "shop", &schedulerv1.BuildSettings{AppPath: "apps/shop"}
			b.Origin = &schedulerv1.Origin{Branch: "main"}
		})
		f.finished(id)
		log := f.logOf(id)
		if said := hooksSaid(log); said != "bundle "+tt.value {
			t.Errorf("build %d says %q, want the bundle of %s; log:\n%s", i, said, tt.value, log)
		}
		if cached := strings.Contains(log, "Metro's cache: "); cached != tt.cached && i != 2 { // the cache of before the hook comes first
			t.Errorf("build %d: cached is %t; log:\n%s", i, cached, log)
		}
	}
}

// TestToolThatCannotBeFetched: a version that the project demands fails the build, engines of package.json are advice, as for npm.
func TestToolThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	advice := f.submitApp(workspaceApp(t, `"a":"b"},"engines":{"node":">=99"},"x":{"a":"b"`), "apps/shop")
	if got, log := f.finished(advice), f.logOf(advice); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED ||
		!strings.Contains(log, "asks for node >=99, which could not be fetched") {
		t.Errorf("engines: finish = %v; log:\n%s", got, log)
	}
	demand := f.submit(project(t, "package.json", `{"name":"shop","packageManager":"npm@99.0.0","dependencies":{"expo":"1"}}`, "package-lock.json", "{}"))
	if got := f.finished(demand); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_FAILED || !strings.Contains(got.GetError(), "fetch-tools failed") {
		t.Errorf("packageManager: finish = %v; log:\n%s", got, f.logOf(demand))
	}
}
