package standalone_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withoutLegacy writes an overlay for go build that hides the legacy controller's parts: all folders named legacy, and all files named
// legacy.go, legacy.pb.go and legacy_*.go.
func withoutLegacy(t *testing.T) string {
	t.Helper()
	hidden := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name != root && strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		inside := slices.Contains(strings.Split(filepath.Dir(name[len(root):]), string(filepath.Separator)), "legacy")
		if inside || strings.HasPrefix(d.Name(), "legacy.") || strings.HasPrefix(d.Name(), "legacy_") {
			hidden[name] = ""
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"Replace": hidden})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// TestBuildWithoutLegacy: without the legacy controller's parts every program builds, and the server starts and accepts builds. Nothing of
// import and export is left.
func TestBuildWithoutLegacy(t *testing.T) {
	t.Parallel()
	overlay, dir := withoutLegacy(t), t.TempDir()
	for module, command := range map[string]string{
		"standalone": "freeagent", "ingest": "ingest", "scheduler": "scheduler", "monitor": "monitor", "artifact": "artifact",
	} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", filepath.Join(dir, command), "./cmd/"+command)
		cmd.Dir = filepath.Join(root, "services", module)
		cmd.Env = append(os.Environ(), buildFlags()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("build %s without the legacy parts: %v\n%s", command, err, out)
		}
	}
	if t.Failed() {
		return
	}
	program := filepath.Join(dir, "freeagent")
	for _, c := range []struct {
		command, want string
		code          int
	}{
		{"version", "freeagent ", 0}, {"import", `unknown command "import"`, 2}, {"export", `unknown command "export"`, 2},
	} {
		p := spawn(t, program, nil, c.command)
		err := <-p.done
		p.done <- err
		if got := p.cmd.ProcessState.ExitCode(); got != c.code || !strings.Contains(p.out.String(), c.want) {
			t.Errorf("freeagent %s: exit code %d and %q, want %d and %q", c.command, got, p.out.String(), c.code, c.want)
		}
	}
	f := &farm{t: t, dir: t.TempDir(), port: freePort(t)}
	f.launch = func(ready string) *process {
		return spawn(t, program, []string{"FREEAGENT_API_KEY=" + farmKey}, "up", "--port", f.port, "--data-dir", f.dir, "--ready-file", ready)
	}
	f.up()
	w := &v1{t: t, url: f.url(), key: farmKey}
	if code := w.call(http.MethodPost, "/api/v2/import/workers", "application/json", strings.NewReader("{}"), nil); code != http.StatusNotFound {
		t.Errorf("POST /api/v2/import/workers = %d, want 404", code)
	}
	id := f.submit()
	if _, code := w.withToken("/api/builds/"+id+"/status", "not-its-token"); code != http.StatusForbidden {
		t.Errorf("status with a wrong build token = %d, want 403", code)
	}
	f.stop()
}
