package fingerprint_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/fingerprint"
)

// app writes an app with a copy of @expo/fingerprint at a place below node_modules.
func app(t *testing.T, at, code string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"package.json": `{"name":"shop"}`, "node_modules/expo/package.json": `{"name":"expo","exports":{"./package.json":"./package.json"}}`,
		at + "/package.json": `{"name":"@expo/fingerprint"}`, at + "/index.js": code,
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestOf runs the app's own copy, with Node.js: that of the app, or that of its copy of expo.
func TestOf(t *testing.T) {
	t.Parallel()
	const good = `exports.createFingerprintAsync = async (dir, o) => {
  console.log('a plugin speaks');
  return { hash: require('crypto').createHash('sha1').update(o.platforms.join() + (process.env.SHOP || '')).digest('hex') };
};`
	own := app(t, "node_modules/@expo/fingerprint", good)
	android, err := fingerprint.Of(t.Context(), own, build.Android, nil)
	if err != nil || len(android) != 40 {
		t.Fatalf("Of = %q, %v (Node 20 or newer must be installed)", android, err)
	}
	nested, err := fingerprint.Of(t.Context(), app(t, "node_modules/expo/node_modules/@expo/fingerprint", good), build.Android, nil)
	if err != nil || nested != android {
		t.Errorf("Of with a copy below expo = %q, %v, want %q", nested, err, android)
	}
	for what, different := range map[string]func() (string, error){
		"ios": func() (string, error) { return fingerprint.Of(t.Context(), own, build.IOS, nil) },
		"a variable of the profile": func() (string, error) {
			return fingerprint.Of(t.Context(), own, build.Android, map[string]string{"SHOP": "1"})
		},
	} {
		if got, err := different(); err != nil || got == android {
			t.Errorf("%s: Of = %q, %v, want another hash", what, got, err)
		}
	}
	if _, err := fingerprint.Of(t.Context(), app(t, "elsewhere", good), build.Android, nil); !errors.Is(err, fingerprint.ErrMissing) {
		t.Errorf("Of without a copy = %v, want ErrMissing", err)
	}
	for code, want := range map[string]string{
		`exports.createFingerprintAsync = async () => { throw new Error('no config'); };`: "no config",
		`exports.createFingerprintAsync = async () => ({ hash: 'x y' });`:                 "which is no hash",
		`process.exit(3)`: "exit status 3",
	} {
		if _, err := fingerprint.Of(t.Context(), app(t, "node_modules/@expo/fingerprint", code), build.Android, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Of with %s = %v, want an error with %q", code, err, want)
		}
	}
	shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", fingerprint.Command(build.Android))
	shell.Dir = own
	out, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fingerprint.Parse(out); err != nil || got != android {
		t.Errorf("the shell's command prints %q, %v, want %q", got, err, android)
	}
}
