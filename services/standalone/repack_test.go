//go:build linux || darwin

package standalone_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// repackable is an app whose native build is a stage of its own, with copies of expo and @expo/fingerprint, so that no registry is asked. The
// copy hashes native.txt.
func repackable() map[string]string {
	return map[string]string{
		"package.json": `{"name":"shop","version":"1.0.0","dependencies":{"expo":"file:expo","@expo/fingerprint":"file:fp"}}`,
		"package-lock.json": `{"name":"shop","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"shop","version":"1.0.0",` +
			`"dependencies":{"expo":"file:expo","@expo/fingerprint":"file:fp"}},` +
			`"node_modules/expo":{"resolved":"expo","link":true},"expo":{"name":"expo","version":"1.0.0"},` +
			`"node_modules/@expo/fingerprint":{"resolved":"fp","link":true},"fp":{"name":"@expo/fingerprint","version":"1.0.0"}}}`,
		"expo/package.json": `{"name":"expo","version":"1.0.0"}`,
		"fp/package.json":   `{"name":"@expo/fingerprint","version":"1.0.0"}`,
		"fp/index.js": `const fs = require('fs'), crypto = require('crypto');
exports.createFingerprintAsync = async (dir, { platforms }) => ({
  hash: crypto.createHash('sha1').update(platforms.join() + fs.readFileSync(dir + '/native.txt')).digest('hex') });
`,
		"freeagent.json": `{"profiles":{"production":{"result":"out/app.apk","stages":[
  {"name":"install","run":"npm ci"}, {"name":"make","run":"mkdir out\n(cat native.txt App.js) > out/app.apk"}]},
  "ipa":{"result":"out/shop.ipa","stages":[{"name":"install","run":"npm ci"}, {"name":"make","run":"mkdir out\n(cat native.txt App.js) > out/shop.ipa"}]}}}`,
		"native.txt": "native 1\n", "App.js": "export default 1\n", ".gitignore": "node_modules\n",
	}
}

// standInNpx stands in for npx with @expo/repack-app: it prints its arguments and appends the bundle to the native part of the earlier app.
const standInNpx = `#!/bin/sh
echo "npx called: $*"
while [ $# -gt 0 ]; do
  case $1 in
    --source-app) source=$2 ;;
    --output) output=$2 ;;
    --working-directory) work=$2 ;;
  esac
  shift
done
test -d "$work" && test "$NODE_ENV" = production && test -e node_modules/expo/package.json || exit 3
(head -n 1 "$source"; cat App.js) > "$output"
`

// repacker is a farm whose worker has stand-ins for the tools.
func repacker(t *testing.T) *reuser {
	t.Helper()
	r := newReuser(t, repackable())
	bin := t.TempDir()
	for name, script := range map[string]string{"npx": standInNpx, "java": "#!/bin/sh\n", "apksigner": "#!/bin/sh\n", "zip": "#!/bin/sh\n", "unzip": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.builds("correct-horse", "PATH="+bin+":"+os.Getenv("PATH"), "ANDROID_HOME=", "ANDROID_SDK_ROOT=")
	return r
}

// submitted submits and returns the build as it was printed.
func (r *reuser) submitted(args ...string) (b api.Build) {
	r.t.Helper()
	said := r.says(append([]string{"submit", r.app, "--json"}, args...)...)
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &b); err != nil {
				r.t.Fatal(err)
			}
			return b
		}
	}
	r.t.Fatalf("no JSON in:\n%s", said)
	return b
}

func (r *reuser) textLog(id string) string { return r.says("logs", id) }

// TestRepack: a changed bundle goes into the earlier app without a native build, and everything says so. Changed native code is refused.
func TestRepack(t *testing.T) {
	t.Parallel()
	r := repacker(t)
	refused := r.refuses("submit", r.app, "--platform", "android", "--repack")
	if !strings.Contains(refused, "nothing was submitted: no native build of project shop for android with profile production") {
		t.Errorf("without an earlier build, submit --repack printed\n%s", refused)
	}
	native := r.completedOnce(r.submitted("--platform", "android").ID)
	if len(native.Fingerprint) != 40 || native.RepackFrom != "" || native.Signing != "" {
		t.Fatalf("the native build = %+v", native)
	}

	r.write("App.js", "export default 2\n")
	r.commit("JavaScript")
	output := filepath.Join(t.TempDir(), "app.apk")
	said := r.says("build", r.app, "--platform", "android", "--repack", "--output", output)
	if got, err := os.ReadFile(output); err != nil || string(got) != "native 1\nexport default 2\n" {
		t.Errorf("the result is %q, %v; freeagent build --repack printed\n%s", got, err, said)
	}
	for _, want := range []string{
		"repacking build " + native.ID, "signed with a public debug key", "npx called: --yes @expo/repack-app@0.9.0 --platform android --js-bundle-only --embed-bundle-assets --source-app ",
		"app to repack: app.apk of build " + native.ID, "SHA-256 " + native.Result.SHA256, "repacked from build " + native.ID + ": its native part",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("freeagent build --repack did not print %q:\n%s", want, said)
		}
	}
	if install, stage := strings.Index(said, "✓ install"), strings.Index(said, "▸ repack"); install < 0 || stage < install || strings.Contains(said, "▸ make") {
		t.Errorf("want install, then repack, and no native build:\n%s", said)
	}

	list, err := r.client().Builds.List(t.Context(), api.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := list.Builds[0]
	if b.RepackFrom != native.ID || b.Signing != build.SignedDebug || b.Result.Name != "app.apk" {
		t.Errorf("in the list: %+v", b)
	}
	if said := r.says("status", b.ID); !strings.Contains(said, "from build "+native.ID+", signed with a public debug key") {
		t.Errorf("freeagent status printed\n%s", said)
	}
	if said := r.says("list"); !strings.Contains(said, "completed (repacked)") {
		t.Errorf("freeagent list printed\n%s", said)
	}

	again := r.submitted("--platform", "android", "--repack="+native.ID)
	if again.RepackFrom != native.ID {
		t.Errorf("by id: %+v", again)
	}
	r.completedOnce(again.ID)
	if said := r.refuses("submit", r.app, "--platform", "android", "--repack="+again.ID); !strings.Contains(said, "is itself repacked from build "+native.ID) {
		t.Errorf("of a repacked build, submit printed\n%s", said)
	}

	r.write("native.txt", "native 2\n")
	changed := r.submitted("--platform", "android", "--repack")
	failed := r.becomes(changed.ID, "the build fails", api.Build.Final)
	if failed.Status != "failed" || !strings.Contains(failed.Error, "differs from that of build "+native.ID) || !strings.Contains(failed.Error, "Build without --repack") || failed.Attempt != 1 {
		t.Errorf("with changed native code: %+v", failed)
	}
	if log := r.textLog(changed.ID); strings.Contains(log, "▸ repack") || strings.Contains(log, "app to repack") {
		t.Errorf("it was fetched or repacked all the same:\n%s", log)
	}
}

// TestRepackOfAnIPA takes the same way with the tool's arguments for iOS.
func TestRepackOfAnIPA(t *testing.T) {
	t.Parallel()
	r := repacker(t)
	native := r.completedOnce(r.submitted("--platform", "ios", "--profile", "ipa").ID)
	r.write("App.js", "export default 2\n")
	b := r.completedOnce(r.submitted("--platform", "ios", "--profile", "ipa", "--repack").ID)
	if b.RepackFrom != native.ID || b.Signing != build.Unsigned || b.Result.Name != "shop.ipa" {
		t.Errorf("the build = %+v", b)
	}
	log := r.textLog(b.ID)
	if !strings.Contains(log, "--platform ios --js-bundle-only --embed-bundle-assets --source-app ") || strings.Contains(log, "build-tools") || !strings.Contains(log, ", not signed") {
		t.Errorf("its log:\n%s", log)
	}
}

// refuses runs a command that must fail, and returns what it printed.
func (r *reuser) refuses(args ...string) string {
	r.t.Helper()
	p := run(r.t, []string{"FREEAGENT_URL=" + r.url(), "FREEAGENT_API_KEY=" + farmKey}, args...)
	err := <-p.done
	p.done <- err
	if err == nil {
		r.t.Errorf("freeagent %v succeeded:\n%s", args, p.out)
	}
	return p.out.String()
}
