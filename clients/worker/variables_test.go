//go:build linux || darwin

package worker_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

// sealVariables answers a worker as the artifact service does.
func (f *farm) sealVariables(project string, r *artifactv1.WorkerGrantRequest) (*artifactv1.WorkerGrantResponse, error) {
	plain, err := proto.Marshal(&artifactv1.VariableSet{Variables: f.variables[project+"/"+r.GetEnvironment()]})
	if err != nil {
		return nil, err
	}
	sealed, err := sealedbox.Seal(r.GetPublicKey(), plain, sealedbox.AboutBuild(r.GetBuildId(), r.GetAttempt(), r.GetEnvironment())...)
	return &artifactv1.WorkerGrantResponse{SealedVariables: sealed}, err
}

const (
	plain     = artifactv1.Visibility_VISIBILITY_PLAIN
	sensitive = artifactv1.Visibility_VISIBILITY_SENSITIVE
	secret    = artifactv1.Visibility_VISIBILITY_SECRET
)

func variable(name, value string, v artifactv1.Visibility) *artifactv1.Variable {
	return &artifactv1.Variable{Name: name, Value: value, Visibility: v}
}

// profiles is a project with an eas.json, and stages in freeagent.json that run a script.
func profiles(t *testing.T, eas, ownEnv, run string) []byte {
	t.Helper()
	stage, err := json.Marshal(run)
	must(t, err)
	free := fmt.Sprintf(`{"profiles":{"production":{"result":"out.bin","env":%s,"stages":[{"name":"install","run":"true"},{"name":"export","run":%s}]}}}`, ownEnv, stage)
	return project(t, "freeagent.json", free, "eas.json", eas, "package.json", `{"name":"app"}`)
}

type variableCase struct {
	eas, own, run string
	says          []string
	hides         []string
}

func variableCases() map[string]variableCase {
	return map[string]variableCase{
		"values": {
			`{"build":{"production":{}}}`, `{}`, `echo "$API_URL, $DEPLOY_TOKEN, $GREETING"; echo "$PEM"; printf %s "$GREETING" | base64`,
			[]string{
				"https://shop.example.com, a-plain-one, [secret]", "PIN is not masked in this log: its value has 4 characters",
				"environment production: variables of the farm: API_URL, DEPLOY_TOKEN, GREETING, PEM, PIN, STAGE",
			},
			[]string{"good-morning", "body-of-the-key", "Z29vZC1tb3JuaW5n"},
		},
		"eas.json comes before the farm": {
			`{"build":{"production":{"env":{"STAGE":"of eas.json"}}}}`, `{}`, `echo "STAGE $STAGE"`,
			[]string{"STAGE of eas.json", "PIN; the profile has its own STAGE"}, nil,
		},
		"freeagent.json comes before both": {
			`{"build":{"production":{"env":{"STAGE":"of eas.json"}}}}`, `{"STAGE":"of freeagent.json"}`, `echo "STAGE $STAGE"`,
			[]string{"STAGE of freeagent.json"}, nil,
		},
		"the key environment": {
			`{"build":{"production":{"environment":"preview"}}}`, `{}`, `echo "url $API_URL, $GREETING."`, []string{"url https://preview.example.com, ."}, nil,
		},
		"by the distribution": {
			`{"build":{"production":{"distribution":"internal"}}}`, `{}`, `echo "url $API_URL"`, []string{"url https://preview.example.com"}, nil,
		},
		"an environment without variables": {
			`{"build":{"production":{"environment":"staging"}}}`, `{}`, `echo "url $API_URL."`,
			[]string{"environment staging: the farm has no variables of this project", "url ."}, nil,
		},
	}
}

// variablesOfTwo are those of two projects.
func variablesOfTwo() map[string][]*artifactv1.Variable {
	return map[string][]*artifactv1.Variable{
		"shop/production": {
			variable("API_URL", "https://shop.example.com", plain), variable("DEPLOY_TOKEN", "a-plain-one", plain),
			variable("GREETING", "good-morning", sensitive), variable("PEM", "-----BEGIN-----\nbody-of-the-key\n-----END-----\n", secret),
			variable("PIN", "1234", secret), variable("STAGE", "of the farm", plain),
		},
		"shop/preview": {variable("API_URL", "https://preview.example.com", plain)},
		"bank/preview": {variable("API_URL", "https://bank.example.com", plain)},
	}
}

// TestVariablesOfTheFarm: a build sees those of its project and environment below its own, and its log shows no value that is not plain.
func TestVariablesOfTheFarm(t *testing.T) {
	t.Parallel()
	for name, tt := range variableCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			f.variables = variablesOfTwo()
			f.start(f.shell(t.TempDir()), nil)
			id := f.submitWith(profiles(t, tt.eas, tt.own, tt.run+"; echo x > out.bin"), func(b *schedulerv1.Build) { b.Project = "shop" })
			got := f.finished(id)
			log := f.logOf(id)
			if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
				t.Fatalf("finish = %v; log:\n%s", got, log)
			}
			for _, want := range tt.says {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q:\n%s", want, log)
				}
			}
			for _, hidden := range tt.hides {
				if strings.Contains(log, hidden) {
					t.Errorf("%q shows in the log:\n%s", hidden, log)
				}
			}
			if f.refused.Load() != 0 {
				t.Error("the bus denied something")
			}
		})
	}
}

// TestVariablesInTheErrorOfABuild: the reason of a failure shows no value, and hooks see the variables.
func TestVariablesInTheErrorOfABuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.variables = map[string][]*artifactv1.Variable{"shop/production": {variable("GREETING", "good-morning", sensitive), variable("API_URL", "https://x.example.com", plain)}}
	f.start(f.shell(t.TempDir()), nil)
	source := project(t, "package.json", `{"name":"app","dependencies":{"expo":"1.0.0"},"scripts":{"eas-build-pre-install":"echo said $API_URL; echo \"error: bad $GREETING\"; exit 1"}}`,
		"package-lock.json", `{"name":"app","lockfileVersion":3,"packages":{"":{"name":"app","dependencies":{"expo":"1.0.0"}}}}`)
	id := f.submitWith(source, func(b *schedulerv1.Build) { b.Project = "shop" })
	got := f.finished(id)
	if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_FAILED || !strings.Contains(got.GetError(), "bad [secret]") {
		t.Errorf("finish = %v, want failed with a masked error; log:\n%s", got, f.logOf(id))
	}
	if said := hooksSaid(f.logOf(id)); said != "https://x.example.com" {
		t.Errorf("the hook said %q", said)
	}
}

// TestNoBuildWithoutItsVariables: while the farm does not answer, the build waits; if it loses its lease, it ends.
func TestNoBuildWithoutItsVariables(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.variables = map[string][]*artifactv1.Variable{"/production": {variable("GREETING", "good-morning", plain)}}
	asked := make(chan time.Time, 100)
	f.onGrant = func(r *artifactv1.WorkerGrantRequest) error {
		if r.GetKind() != artifactv1.Kind_KIND_VARIABLES {
			return nil
		}
		asked <- time.Now()
		if len(asked) <= 2 {
			return fmt.Errorf("%w: it restarts", build.ErrUnavailable)
		}
		return nil
	}
	f.start(f.shell(t.TempDir()), nil)
	id := f.submit(script(t, `test "$GREETING" = good-morning && echo x > out.bin`))
	if got := f.finished(id); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED || len(asked) != 3 {
		t.Errorf("finish = %v after %d requests, want completed after 3; log:\n%s", got, len(asked), f.logOf(id))
	}
	lost := newFarm(t)
	lost.onGrant = func(r *artifactv1.WorkerGrantRequest) error {
		if r.GetKind() == artifactv1.Kind_KIND_VARIABLES {
			asked <- time.Now()
			return build.ErrLeaseLost
		}
		return nil
	}
	before := len(asked)
	dir := t.TempDir()
	lost.start(lost.shell(dir), nil)
	id = lost.submit(script(t, "echo > $NOTES/ran; echo x > out.bin"))
	lost.eventually("it asked", func() bool { return len(asked) > before })
	lost.eventually("the workspace is gone", func() bool {
		left, err := os.ReadDir(filepath.Join(dir, "builds"))
		return err == nil && len(left) == 0
	})
	if b := lost.await(id, "there", func(*farmBuild) bool { return true }); b.finish != nil || fileExists(dir+"/ran") {
		t.Errorf("finish = %v, want none, and nothing run", b.finish)
	}
}
