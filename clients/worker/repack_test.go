//go:build linux || darwin

package worker_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/shell"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// repackApp has packages of its own, so that no registry is asked: the fingerprint is that of native.txt.
func repackApp(t *testing.T, fingerprint string) []byte {
	t.Helper()
	lock := `{"name":"shop","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"shop","version":"1.0.0","dependencies":{"expo":"file:expo"}},` +
		`"node_modules/expo":{"resolved":"expo","link":true},"expo":{"name":"expo","version":"1.0.0"}}}`
	files := []string{
		"package.json", `{"name":"shop","version":"1.0.0","dependencies":{"expo":"file:expo"}}`, "package-lock.json", lock,
		"expo/package.json", `{"name":"expo","version":"1.0.0"}`, "App.js", "new\n",
	}
	if fingerprint != "" {
		files = append(files, "expo/node_modules/@expo/fingerprint/package.json", `{"name":"@expo/fingerprint","version":"1.0.0"}`,
			"expo/node_modules/@expo/fingerprint/index.js", "exports.createFingerprintAsync = async () => ({ hash: '"+fingerprint+"' });\n")
	}
	return project(t, files...)
}

// repackTools is an executor whose PATH has stand-ins for the tools but those left out.
func (f *farm) repackTools(without string) runtime.Executor {
	f.t.Helper()
	bin := f.t.TempDir()
	for name, text := range map[string]string{
		"npx":  "#!/bin/sh\nfor a; do case $last in --source-app) s=$a ;; --output) o=$a ;; esac; last=$a; done\n(cat \"$s\" App.js) > \"$o\"\n",
		"java": "#!/bin/sh\n", "apksigner": "#!/bin/sh\n",
	} {
		if name != without {
			must(f.t, os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755))
		}
	}
	path := bin + ":" + os.Getenv("PATH")
	if without != "" { // the machine's own would be found
		for _, name := range []string{"node", "npm", "sh", "cat", "mkdir", "uname", "bash", "env"} {
			for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
				if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
					must(f.t, os.Symlink(filepath.Join(dir, name), filepath.Join(bin, name)))
					break
				}
			}
		}
		path = bin
	}
	e, err := shell.New(f.t.Context(), shell.Config{
		Dir: f.t.TempDir(), Log: slog.New(slog.DiscardHandler), TrustedBranches: []string{"main"},
		Environ: []string{"PATH=" + path, "npm_config_registry=http://127.0.0.1:9/", "npm_config_fetch_retries=0"},
	})
	must(f.t, err)
	return e
}

// TestRepack: the earlier app is fetched once the fingerprints are known to be equal, and whatever is wrong is named.
func TestRepack(t *testing.T) {
	t.Parallel()
	completed, failed, infra := schedulerv1.FinishRequest_OUTCOME_COMPLETED, schedulerv1.FinishRequest_OUTCOME_FAILED, schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE
	same, other := strings.Repeat("a1", 20), strings.Repeat("b2", 20)
	for name, tt := range map[string]struct {
		fingerprint string
		change      func(*farm)
		without     string
		outcome     schedulerv1.FinishRequest_Outcome
		err         string
		fetched     bool
	}{
		"the same native part":       {fingerprint: same, outcome: completed, fetched: true},
		"another native part":        {fingerprint: other, outcome: failed, err: "differs from that of build old (a1a1a1a1a1a1…)"},
		"no fingerprint":             {outcome: failed, err: "could not be computed"},
		"the source has expired":     {fingerprint: same, change: func(f *farm) { f.repack = nil }, outcome: failed, err: "build old, which this build was to be repacked from, is not stored any more"},
		"other bytes than recorded":  {fingerprint: same, change: func(f *farm) { f.objects["old-result"] = []byte("evil\n") }, outcome: failed, err: "missing or damaged", fetched: true},
		"no build-tools":             {fingerprint: same, without: "apksigner", outcome: infra, err: "this worker cannot repack: apksigner is neither"},
		"a name that is a directory": {fingerprint: same, change: func(f *farm) { f.repack.Result.Name = "../../evil app.apk" }, outcome: completed, fetched: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			old := []byte("old\n")
			f.objects["old-result"] = old
			f.repack = &schedulerv1.RepackSource{
				BuildId: "old", Fingerprint: same, Result: &eventsv1.ObjectRef{ObjectId: "old-result", Size: int64(len(old)), Sha256: sum(old), Name: "app.apk"},
			}
			if tt.change != nil {
				tt.change(f)
			}
			var fetched bool
			f.onGrant = func(r *artifactv1.WorkerGrantRequest) error {
				fetched = fetched || r.GetKind() == artifactv1.Kind_KIND_REPACK_SOURCE
				return nil
			}
			f.start(f.repackTools(tt.without), nil)
			id := f.submitWith(repackApp(t, tt.fingerprint), func(b *schedulerv1.Build) {
				b.Project, b.Settings = "shop", &schedulerv1.BuildSettings{RepackFrom: "old"}
			})
			got := f.finished(id)
			if got.GetOutcome() != tt.outcome || !strings.Contains(got.GetError(), tt.err) || fetched != tt.fetched {
				t.Fatalf("finish = %v, fetched %v, want %v with %q, fetched %v; log:\n%s", got, fetched, tt.outcome, tt.err, tt.fetched, f.logOf(id))
			}
			if tt.outcome != completed {
				return
			}
			f.mu.Lock()
			result := string(f.objects[got.GetResultObjectId()])
			f.mu.Unlock()
			if result != "old\nnew\n" || got.GetMade().GetRepackable() {
				t.Errorf("result %q, made %v", result, got.GetMade())
			}
			if log := f.logOf(id); !strings.Contains(log, "repacked from build old") || !strings.Contains(log, build.SignedDebug.String()) {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}
