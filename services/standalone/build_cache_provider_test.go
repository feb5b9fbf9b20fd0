//go:build linux || darwin

package standalone_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// linkPackages puts the app's own packages where npm would.
func (r *reuser) linkPackages() {
	r.t.Helper()
	for name, target := range map[string]string{"react-native": "../rn", "@expo/fingerprint": "../../fp"} {
		link := filepath.Join(r.app, "node_modules", name)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			r.t.Fatal(err)
		}
	}
}

// androidSDK is a directory that looks like one to the worker.
func androidSDK(t *testing.T) string {
	t.Helper()
	sdk := t.TempDir()
	if err := os.Mkdir(filepath.Join(sdk, "platforms"), 0o700); err != nil {
		t.Fatal(err)
	}
	return "ANDROID_HOME=" + sdk
}

// TestBuildCacheProvider runs the tests of the npm package against a farm that has built a development client.
func TestBuildCacheProvider(t *testing.T) {
	t.Parallel()
	r := newReuser(t, devClient())
	r.linkPackages()
	r.builds("correct-horse", androidSDK(t))
	id := r.rebuilds("the first", "no earlier build", "--profile", "development")
	b, err := r.client().Builds.Get(t.Context(), id)
	if err != nil || b.Fingerprint == "" {
		t.Fatalf("the build = %+v, %v, want a fingerprint", b, err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--test", "test/")
	cmd.Dir = filepath.Join(root, "clients", "build-cache-provider") // the embedded object store changes the working directory
	cmd.Env = append(os.Environ(), "FREEAGENT_URL="+r.url(), "FREEAGENT_API_KEY="+farmKey, "PROVIDER_APP="+r.app, "PROVIDER_BUILD="+id,
		"PROVIDER_SHA256="+b.Result.SHA256)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("node --test (Node 20 or newer must be installed): %v\n%s", err, out)
	}
	if b, err = r.client().Builds.Get(t.Context(), id); err != nil || b.Reuses == 0 {
		t.Errorf("the build was reused %d times, %v, want some", b.Reuses, err)
	}
}
