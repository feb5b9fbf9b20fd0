//go:build linux || darwin

package standalone_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// reuser submits a small app from a repository with the command line.
type reuser struct {
	*farm
	app, state string
	worker     *process
}

// secretOfBuilds is a variable of the worker's that builds get.
const secretOfBuilds = "SIGNING_PHRASE"

func newReuser(t *testing.T, files map[string]string) *reuser {
	t.Helper()
	r := &reuser{farm: newFarm(t), app: t.TempDir(), state: filepath.Join(t.TempDir(), "state")}
	for name, content := range files {
		r.write(name, content)
	}
	r.git("init", "--quiet", "--initial-branch=main")
	r.commit("first")
	return r
}

func (r *reuser) write(name, content string) {
	r.t.Helper()
	name = filepath.Join(r.app, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reuser) git(args ...string) {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.app, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

func (r *reuser) commit(message string) {
	r.git("add", ".")
	r.git("commit", "--quiet", "--allow-empty", "-m", message)
}

// builds starts the worker, whose builds get the secret.
func (r *reuser) builds(secret string, more ...string) {
	r.t.Helper()
	if r.worker != nil {
		r.worker.stop()
	}
	registered := r.registered()
	work, err := os.MkdirTemp("", "w") // short enough for sockets
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { os.RemoveAll(work) })
	r.worker = run(r.t, append([]string{"FREEAGENT_API_KEY=" + farmKey, secretOfBuilds + "=" + secret, "npm_config_registry=http://127.0.0.1:9/"}, more...),
		"worker", "--server", r.url(), "--name", "mini", "--state-dir", r.state, "--work-dir", work, "--executor", "shell",
		"--pass-env", secretOfBuilds)
	r.eventually("the worker has joined", func() bool { return r.registered() > registered })
}

// registered counts the events of workers that registered.
func (r *reuser) registered() int {
	return strings.Count(r.out.String(), "worker joined")
}

// reuseAnswer is what submit --reuse --json prints.
type reuseAnswer struct {
	api.Submitted

	Reused    bool   `json:"reused"`
	NotReused string `json:"not_reused"`
}

func (r *reuser) submits(args ...string) (a reuseAnswer) {
	r.t.Helper()
	said := r.says(append([]string{"submit", r.app, "--platform", "android", "--reuse", "--json"}, args...)...)
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				r.t.Fatal(err)
			}
			return a
		}
	}
	r.t.Fatalf("no JSON in:\n%s", said)
	return a
}

// reuses wants the build back.
func (r *reuser) reuses(what, id string, args ...string) {
	r.t.Helper()
	if got := r.submits(args...); !got.Reused || got.ID != id || got.AccessToken == "" {
		r.t.Errorf("%s: got build %s, reused %v (%s), want %s", what, got.ID, got.Reused, got.NotReused, id)
	}
}

// rebuilds wants a new build for the reason, which completes.
func (r *reuser) rebuilds(what, reason string, args ...string) string {
	r.t.Helper()
	got := r.submits(args...)
	if got.Reused || got.ID == "" || !strings.Contains(got.NotReused, reason) {
		r.t.Fatalf("%s: got build %s, reused %v (%q), want a new build because %q", what, got.ID, got.Reused, got.NotReused, reason)
	}
	r.completedOnce(got.ID)
	return got.ID
}

// shop has stages of its own.
func shop() map[string]string {
	return map[string]string{
		"package.json": `{"name":"shop","dependencies":{"expo":"*"}}`, "package-lock.json": "{}", ".gitignore": "ignored\n",
		"app/App.tsx": "export default 1\n",
		"freeagent.json": `{"profiles":{
  "production": {"env": {"COLOUR": "red"}, "result": "out", "stages": [{"name": "make", "run": "cat app/App.tsx > out"}]},
  "preview": {"extends": "production"}}}`,
	}
}

// TestReuseOfABuild changes one thing at a time: what differs in nothing is reused, and nothing else is.
func TestReuseOfABuild(t *testing.T) {
	t.Parallel()
	r := newReuser(t, shop())
	r.builds("correct-horse")
	const sources = "no earlier build has the same sources"
	id := r.rebuilds("the first", sources)
	r.reuses("nothing", id)

	r.write("app/App.tsx", "export default 2\n")
	r.rebuilds("the content of a file", sources)
	r.git("checkout", "--quiet", ".")
	r.reuses("the content is back", id)

	if err := os.Chmod(filepath.Join(r.app, "app/App.tsx"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.rebuilds("the mode of a file", sources)
	if err := os.Chmod(filepath.Join(r.app, "app/App.tsx"), 0o644); err != nil {
		t.Fatal(err)
	}

	r.write("new.ts", "")
	r.rebuilds("a new file", sources)
	if err := os.Remove(filepath.Join(r.app, "new.ts")); err != nil {
		t.Fatal(err)
	}
	r.write("ignored", "1")
	r.reuses("a file that git ignores", id)

	r.write("freeagent.json", strings.Replace(shop()["freeagent.json"], "red", "blue", 1))
	r.rebuilds("a variable of the profile", sources)
	r.git("checkout", "--quiet", ".")
	r.rebuilds("another profile", sources, "--profile", "preview")
	r.rebuilds("another platform", sources, "--platform", "ios")

	r.says("env", "set", "API=one", "--visibility", "plain", "--project", "shop", "--environment", "production")
	withVariable := r.rebuilds("a variable of the farm", "variables of environment production are not those")
	r.says("env", "set", "API=two", "--visibility", "plain", "--project", "shop", "--environment", "production")
	r.rebuilds("another value", "variables of environment production are not those")
	r.says("env", "set", "API=one", "--visibility", "plain", "--project", "shop", "--environment", "production")
	r.reuses("the value is back", withVariable)
	r.says("env", "unset", "API", "--project", "shop", "--environment", "production")
	r.reuses("without the variable", id)

	r.builds("battery-staple")
	r.rebuilds("a variable of the worker", "worker mini has other tools or variables")
	r.builds("correct-horse")
	r.reuses("the worker is as it was", id)

	r.git("checkout", "--quiet", "-b", "feature")
	r.reuses("a feature branch reads the trusted one", id)
	r.write("app/App.tsx", "export default 'evil'\n")
	r.commit("second")
	feature := r.rebuilds("the feature's own", sources)
	r.reuses("the feature again", feature)
	r.git("checkout", "--quiet", "main")
	r.git("merge", "--quiet", "--ff-only", "feature")
	r.rebuilds("main after the merge", `build `+feature+` is of branch "feature", which is not trusted`)
	r.commit("empty")
	r.rebuilds("another commit", sources)

	if filesWith(t, r.dir, "correct-horse") == 0 {
		t.Error("no files were looked at")
	}
}

// TestReusedBuildIsShown: as text, in status, in the list and on the page, and its result is downloaded.
func TestReusedBuildIsShown(t *testing.T) {
	t.Parallel()
	r := newReuser(t, shop())
	r.builds("correct-horse")
	id := r.rebuilds("the first", "no earlier build")
	output := filepath.Join(t.TempDir(), "out")
	said := r.says("submit", r.app, "--platform", "android", "--reuse", "--output", output)
	if !strings.Contains(said, "Reused build "+id+": passed ") || !strings.Contains(said, "on worker mini, same sources, profile and variables.") {
		t.Errorf("freeagent submit --reuse printed\n%s", said)
	}
	if strings.Contains(said, "uploaded") {
		t.Errorf("something was uploaded:\n%s", said)
	}
	if got, err := os.ReadFile(output); err != nil || string(got) != "export default 1\n" {
		t.Errorf("the result is %q, %v", got, err)
	}
	r.reuses("again", id)
	if said := r.says("status", id); !strings.Contains(said, "2 times, last ") {
		t.Errorf("freeagent status printed\n%s", said)
	}
	if said := r.says("list"); !strings.Contains(said, "completed (reused 2×)") {
		t.Errorf("freeagent list printed\n%s", said)
	}
	b, err := r.client().Builds.Get(t.Context(), id)
	if err != nil || b.Reuses != 2 || len(b.LastReuses) != 2 || b.LastReuses[0].Branch != "main" || b.LastReuses[0].Commit == "" {
		t.Errorf("the build = %+v, %v, want two reuses of main", b, err)
	}
	retried, err := r.client().Builds.Retry(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r.completedOnce(retried.ID)
	r.reuses("after a retry", id)
}

// devClient has native code whose gradlew delivers what it is told, and its own copies of expo and @expo/fingerprint, so that no registry is
// asked. The copy hashes the native files, as the real one does.
func devClient() map[string]string {
	return map[string]string{
		"package.json": `{"name":"shop","version":"1.0.0","dependencies":{"react-native":"file:rn","@expo/fingerprint":"file:fp"}}`,
		"package-lock.json": `{"name":"shop","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"shop","version":"1.0.0",` +
			`"dependencies":{"react-native":"file:rn","@expo/fingerprint":"file:fp"}},` +
			`"node_modules/react-native":{"resolved":"rn","link":true},"rn":{"name":"react-native","version":"1.0.0"},` +
			`"node_modules/@expo/fingerprint":{"resolved":"fp","link":true},"fp":{"name":"@expo/fingerprint","version":"1.0.0"}}}`,
		"rn/package.json": `{"name":"react-native","version":"1.0.0"}`,
		"fp/package.json": `{"name":"@expo/fingerprint","version":"1.0.0"}`,
		"fp/index.js": `const fs = require('fs'), crypto = require('crypto');
exports.createFingerprintAsync = async (dir, { platforms }) => ({
  hash: crypto.createHash('sha1').update(platforms.join() + fs.readFileSync(dir + '/android/app/build.gradle')).digest('hex') });
`,
		"eas.json":                 `{"build":{"development":{"developmentClient":true,"distribution":"internal"}}}`,
		"android/app/build.gradle": "android {}\n",
		"android/gradlew":          "#!/bin/sh\nmkdir -p app/build/outputs/apk\necho $(date +%s%N) > app/build/outputs/apk/app.apk\n",
		"App.js":                   "export default 1\n", ".gitignore": "node_modules\n",
	}
}

// TestReuseOfADevelopmentClient: a change of JavaScript alone does not make a new one.
func TestReuseOfADevelopmentClient(t *testing.T) {
	t.Parallel()
	files := devClient()
	r := newReuser(t, files)
	r.builds("correct-horse", androidSDK(t))
	profile := []string{"--profile", "development"}
	id := r.rebuilds("the first", "no earlier build", profile...)
	if b, err := r.client().Builds.Get(t.Context(), id); err != nil || len(b.Fingerprint) != 40 {
		t.Fatalf("the build's fingerprint is %q, %v, want a SHA-1", b.Fingerprint, err)
	}

	r.write("App.js", "export default 2\n")
	said := r.says("submit", r.app, "--platform", "android", "--reuse", "--profile", "development")
	if !strings.Contains(said, "no native fingerprint") || !strings.Contains(said, "npm ci") || !strings.Contains(said, "Not reused") {
		t.Errorf("without node_modules, submit --reuse printed\n%s", said)
	}
	r.linkPackages()
	r.write("App.js", "export default 3\n")
	r.commit("JavaScript")
	got := r.submits(profile...)
	if !got.Reused {
		t.Errorf("JavaScript alone: a new build, because %q", got.NotReused)
	}
	byFingerprint, err := r.client().Builds.Reuse(t.Context(), api.FindReuse{Project: "shop", Platform: "android", Fingerprint: got.Fingerprint, Branch: "main"})
	if err != nil || !byFingerprint.Reused || byFingerprint.Build.Fingerprint != got.Fingerprint {
		t.Errorf("by fingerprint alone: %+v, %v", byFingerprint, err)
	}

	r.write("android/app/build.gradle", "android { }\n")
	r.rebuilds("native code", "no earlier build", profile...)
	r.write("android/app/build.gradle", files["android/app/build.gradle"])
	r.write("package-lock.json", files["package-lock.json"]+"\n")
	r.rebuilds("the lock file", "no earlier build", profile...)
	r.write("package-lock.json", files["package-lock.json"])
	r.write("eas.json", `{"build":{"development":{"developmentClient":true,"distribution":"internal","env":{"A":"1"}}}}`)
	r.rebuilds("the profile", "no earlier build", profile...)
	r.write("eas.json", files["eas.json"])
	r.write("package.json", strings.Replace(files["package.json"], `"version"`, `"scripts":{"eas-build-pre-install":"true"},"version"`, 1))
	r.rebuilds("a hook", "no earlier build", profile...)
	r.write("App.js", "export default 4\n")
	r.rebuilds("JavaScript of an app with hooks", "no earlier build", profile...)
}

// TestReuseWithNumbers: a build that takes a new number is not reused.
func TestReuseWithNumbers(t *testing.T) {
	t.Parallel()
	files := shop()
	files["eas.json"] = `{"cli":{"appVersionSource":"remote"},"build":{"production":{"autoIncrement":true},"preview":{}}}`
	r := newReuser(t, files)
	r.builds("correct-horse")
	r.says("version", "set", "--project", "shop", "--platform", "android", "41")
	preview := r.rebuilds("the last number", "no earlier build", "--profile", "preview")
	r.reuses("the same number", preview, "--profile", "preview")
	r.rebuilds("autoIncrement", "autoIncrement")
	r.rebuilds("another number by now", "has another build number", "--profile", "preview")
}
