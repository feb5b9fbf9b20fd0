//go:build linux || darwin

package standalone_test

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestRepackOfARealApp repacks an APK with the real @expo/repack-app, from the registry of this machine. FREEAGENT_REPACK_APP is the directory of
// an Expo app with a lock file, an App.js, and an APK with assets and a drawable as prebuilt.apk. It takes minutes, and needs Java and apksigner.
func TestRepackOfARealApp(t *testing.T) {
	t.Parallel()
	app := os.Getenv("FREEAGENT_REPACK_APP")
	if app == "" {
		t.Skip("FREEAGENT_REPACK_APP is not set")
	}
	r := &reuser{farm: newFarm(t), app: filepath.Join(t.TempDir(), "app"), state: filepath.Join(t.TempDir(), "state")}
	if err := os.CopyFS(r.app, os.DirFS(app)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(r.app, ".git")); err != nil {
		t.Fatal(err)
	}
	r.write("freeagent.json", `{"profiles":{"production":{"result":"out/app-release.apk","stages":[{"name":"install","run":"npm ci"},`+
		`{"name":"native","run":"mkdir -p out && cp prebuilt.apk out/app-release.apk"}]}}}`)
	r.git("init", "--quiet", "--initial-branch=main")
	r.commit("first")
	// The registry comes from npm's own settings on this machine.
	r.builds("correct-horse", "npm_config_registry="+npmRegistry(t))
	native := r.completedWithin(r.submitted("--platform", "android").ID)
	const marker = "changedForRepack"
	source, err := os.ReadFile(filepath.Join(r.app, "App.js"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("App.js", string(source)+"\nglobalThis."+marker+" = '"+marker+"';\n")
	r.commit("JavaScript")
	b := r.completedWithin(r.submitted("--platform", "android", "--repack").ID)
	if b.RepackFrom != native.ID || b.Fingerprint != "" {
		t.Errorf("the build = %+v", b)
	}
	apk := filepath.Join(t.TempDir(), "app.apk")
	r.says("download", b.ID, "--output", apk)
	if bundle := entryOf(t, apk, "assets/index.android.bundle"); !bytes.Contains(bundle, []byte(marker)) {
		t.Errorf("the bundle of %d bytes does not have the change", len(bundle))
	}
	out, err := exec.Command("apksigner", "verify", "--print-certs", apk).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "CN=Android Debug") {
		t.Errorf("apksigner verify: %v: %s", err, out)
	}
}

// completedWithin waits for a build that takes long.
func (r *reuser) completedWithin(id string) api.Build {
	r.t.Helper()
	if _, err := r.client().Builds.FollowLog(r.t.Context(), id, func(api.LogLine) error { return nil }); err != nil {
		r.t.Fatal(err)
	}
	return r.completedOnce(id)
}

// npmRegistry is the registry of npm on this machine.
func npmRegistry(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("npm", "config", "get", "registry").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// entryOf returns a file of a zip.
func entryOf(t *testing.T, name, entry string) []byte {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	f, err := z.Open(entry)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
