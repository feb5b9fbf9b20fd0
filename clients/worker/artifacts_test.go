//go:build linux || darwin

package worker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// keeping is a project whose one stage runs a script, and which keeps what the globs match.
func keeping(t *testing.T, run string, globs ...string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"profiles": map[string]any{"production": map[string]any{
		"result": "out.bin", "stages": []map[string]string{{"name": "install", "run": run}}, "artifacts": globs,
	}}})
	must(t, err)
	return project(t, "freeagent.json", string(text))
}

// kept returns the files of the archive that a finish names, as "name: content".
func (f *farm) kept(finish *schedulerv1.FinishRequest) (files []string) {
	f.t.Helper()
	f.mu.Lock()
	data := f.objects[finish.GetArtifacts().GetObject().GetObjectId()]
	f.mu.Unlock()
	if sum(data) != finish.GetArtifacts().GetObject().GetSha256() || int64(len(data)) != finish.GetArtifacts().GetObject().GetSize() {
		f.t.Fatalf("finish = %v, and %d bytes are stored", finish, len(data))
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	must(f.t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(f.t, err)
		content, err := io.ReadAll(r)
		must(f.t, err)
		files = append(files, h.Name+": "+strings.TrimSpace(string(content)))
	}
}

const (
	completed = schedulerv1.FinishRequest_OUTCOME_COMPLETED
	failed    = schedulerv1.FinishRequest_OUTCOME_FAILED
)

// TestBuildArtifacts: files are kept of a build that passes and of one that fails, after its hooks; nothing outside of the source is.
func TestBuildArtifacts(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	const ready = "mkdir -p reports/deep && echo one >reports/1.txt && echo two >reports/deep/2.html && echo x >out.bin && "
	for name, tt := range map[string]struct {
		source  []byte
		outcome schedulerv1.FinishRequest_Outcome
		want    []string
		said    string
		stage   string
	}{
		"passing":                   {keeping(t, ready+"true", "reports/**/*.{txt,html}"), completed, []string{"reports/1.txt: one", "reports/deep/2.html: two"}, "build artifacts: 2 files", "upload"},
		"failing":                   {keeping(t, ready+"exit 3", "reports"), failed, []string{"reports/1.txt: one", "reports/deep/2.html: two"}, "✗ install failed", "install"},
		"without its result":        {keeping(t, ready+"rm out.bin", "reports/*.txt"), failed, []string{"reports/1.txt: one"}, `"out.bin" is not there`, "upload"},
		"a match is missing":        {keeping(t, ready+"true", "reports/*.txt", "logs/*.log"), completed, []string{"reports/1.txt: one"}, "no file matches logs/*.log", "upload"},
		"nothing matches":           {keeping(t, ready+"true", "logs/*.log"), completed, nil, "no file matches logs/*.log", "upload"},
		"links and credentials":     {keeping(t, ready+`ln -s /etc/passwd reports/p && ln -s ../../home reports/h && echo "//r/:_authToken=t" >reports/.npmrc && cp out.bin reports/a.jks`, "reports/**", "reports/.npmrc"), completed, []string{"reports/1.txt: one", "reports/deep/2.html: two"}, `not kept: "reports/a.jks"`, "upload"},
		"a link to files elsewhere": {keeping(t, ready+`rm -r reports && ln -s /etc reports`, "reports/**", "reports/passwd"), completed, nil, "no file matches reports/passwd", "upload"},
	} {
		t.Run(name, func(t *testing.T) {
			id := f.submit(tt.source)
			got := f.finished(id)
			log := f.logOf(id)
			if got.GetOutcome() != tt.outcome || got.GetArtifacts().GetProblem() != "" || !strings.Contains(log, tt.said) {
				t.Fatalf("finish = %v; the log should have %q:\n%s", got, tt.said, log)
			}
			var files []string
			if got.GetArtifacts() != nil {
				files = f.kept(got)
			}
			if d := cmp.Diff(tt.want, files); d != "" || int(got.GetArtifacts().GetFiles()) != len(tt.want) {
				t.Errorf("kept (-want +got): %s%v; log:\n%s", d, got.GetArtifacts(), log)
			}
			f.await(id, "ended in "+tt.stage, func(b *farmBuild) bool { return b.stages[len(b.stages)-1] == tt.stage })
		})
	}
}

// TestArtifactsOfEAS: buildArtifactPaths are relative to the app, and what a hook writes after the failure is kept. Paths out of the source are a
// warning.
func TestArtifactsOfEAS(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	for name, more := range map[string][]string{"passing": nil, "failing": {"apps/shop/fail", ""}} {
		id := f.submitWith(workspaceApp(t, `"eas-build-on-complete":"echo status $EAS_BUILD_STATUS > dist/report.txt"`, append(more, "apps/shop/eas.json",
			`{"build":{"p":{"buildArtifactPaths":["dist/*.txt","../../packages/expo/*.js","../../../etc/passwd","/etc/passwd"]}}}`)...),
			func(b *schedulerv1.Build) {
				b.Profile, b.Settings = "p", &schedulerv1.BuildSettings{AppPath: "apps/shop"}
			})
		got := f.finished(id)
		status := map[string]string{"passing": "finished", "failing": "errored"}[name]
		if got.GetArtifacts().GetFiles() != 2 {
			t.Fatalf("%s: finish = %v; log:\n%s", name, got, f.logOf(id))
		}
		files, log := f.kept(got), f.logOf(id)
		if files[0] != "apps/shop/dist/report.txt: status "+status || !strings.HasPrefix(files[1], "packages/expo/cli.js: ") {
			t.Errorf("%s: kept %q", name, files)
		}
		for _, want := range []string{`"../../../etc/passwd" leads out of the source`, `"/etc/passwd" is not relative`} {
			if !strings.Contains(log, want) {
				t.Errorf("%s: the log lacks %q:\n%s", name, want, log)
			}
		}
	}
}

// TestArtifactsOfACustomBuild: eas/upload_artifact with the type build-artifact keeps files besides the app, also if a later step fails.
func TestArtifactsOfACustomBuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	const steps = `[{run: "mkdir out && echo app >out/app.bin && echo log >'out/[1].log'"}, {eas/upload_artifact: {inputs: {path: apps/shop/out/app.bin}}}, ` +
		`{eas/upload_artifact: {inputs: {type: build-artifact, path: 'apps/shop/out/*.log'}}}, {run: "%s"}]`
	for end, outcome := range map[string]schedulerv1.FinishRequest_Outcome{"true": completed, "exit 4": failed} {
		id := f.submitCustom(customApp(t, "", "build: {steps: "+fmt.Sprintf(steps, end)+"}\n"))
		got := f.finished(id)
		if got.GetOutcome() != outcome || got.GetArtifacts().GetFiles() != 1 {
			t.Fatalf("after %q: finish = %v; log:\n%s", end, got, f.logOf(id))
		}
		if d := cmp.Diff([]string{"apps/shop/out/[1].log: log"}, f.kept(got)); d != "" {
			t.Errorf("after %q: %s", end, d)
		}
	}
}

// TestArtifactsAreNotKept: a build that passed has passed, whatever becomes of its artifacts.
func TestArtifactsAreNotKept(t *testing.T) {
	t.Parallel()
	const run = "mkdir a && echo x >out.bin && echo 1 >a/1 && echo 2 >a/2"
	for name, tt := range map[string]struct {
		limits  func(*worker.Config)
		grant   error
		broken  bool
		problem string
	}{
		"too many":          {limits: func(c *worker.Config) { c.ArtifactFiles = 1 }, problem: "2 files with 4 B, and the limits of this worker are 1 files"},
		"too large":         {limits: func(c *worker.Config) { c.ArtifactBytes = 3 }, problem: "2 files with 4 B, and the limits of this worker are 10000 files and 3 B"},
		"refused":           {grant: build.ErrTooLarge, problem: "upload the build artifacts"},
		"an older farm":     {grant: fmt.Errorf("%w: unknown kind of object 16", build.ErrInvalid), problem: "unknown kind of object 16"},
		"the upload breaks": {broken: true, problem: "upload the build artifacts, 4 tries"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			f.onGrant = func(r *artifactv1.WorkerGrantRequest) error {
				if r.GetKind() == artifactv1.Kind_KIND_ARTIFACTS {
					return tt.grant
				}
				return nil
			}
			f.onHTTP = func(w http.ResponseWriter, r *http.Request) bool {
				broken := tt.broken && strings.HasSuffix(r.Header.Get(api.TicketHeader), ".build-artifacts.tar.gz")
				if broken {
					w.WriteHeader(http.StatusInternalServerError)
				}
				return broken
			}
			f.start(f.shell(t.TempDir()), tt.limits)
			id := f.submit(keeping(t, run, "a"))
			got := f.finished(id)
			if got.GetOutcome() != completed || got.GetResultObjectId() == "" || got.GetArtifacts().GetObject() != nil || !strings.Contains(got.GetArtifacts().GetProblem(), tt.problem) {
				t.Errorf("finish = %v, want the problem %q", got, tt.problem)
			}
			if log := f.logOf(id); !strings.Contains(log, "Build artifacts were not kept: ") {
				t.Errorf("the log does not say so:\n%s", log)
			}
		})
	}
}

// TestNoArtifactsOfACancelledBuild: nothing is taken of a build that is cancelled, and none of one whose attempt another worker repeats.
func TestNoArtifactsOfACancelledBuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	asked := make(chan string, 10)
	f.onGrant = func(r *artifactv1.WorkerGrantRequest) error {
		if r.GetKind() == artifactv1.Kind_KIND_RESULT {
			return fmt.Errorf("%w: the disk is broken", build.ErrNoSpace)
		}
		if r.GetKind() == artifactv1.Kind_KIND_ARTIFACTS {
			asked <- r.GetBuildId()
		}
		return nil
	}
	first := f.start(f.shell(t.TempDir()), nil)
	id := f.submit(keeping(t, "mkdir a && echo 1 >a/1 && echo x >out.bin", "a"))
	if got := f.finished(id); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE || got.GetArtifacts() != nil {
		t.Errorf("finish = %v", got)
	}
	first.stop()
	dir := t.TempDir()
	f.start(f.shell(dir), nil)
	id = f.submit(keeping(t, "mkdir a && echo 1 >a/1 && echo >$NOTES/waiting && sleep 600", "a"))
	f.eventually("the build waits", func() bool { return fileExists(filepath.Join(dir, "waiting")) })
	f.control(f.await(id, "held", func(b *farmBuild) bool { return b.holder != "" }).holder, cancelOrder(id))
	f.eventually("the workspace is gone", func() bool {
		left, err := os.ReadDir(filepath.Join(dir, "builds"))
		return err == nil && len(left) == 0
	})
	select {
	case id := <-asked:
		t.Errorf("artifacts of %s were uploaded", id)
	default:
	}
}
