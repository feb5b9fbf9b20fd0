package standalone_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

// variablesAs asks for the variables of a build in the name of a worker.
func variablesAs(t *testing.T, nc *nats.Conn, worker, id string, attempt int32) (*artifactv1.VariableSet, error) {
	t.Helper()
	key, err := sealedbox.New()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := artifactv1.NewArtifactWorkerServiceClient(rpc.Client{Conn: nc, WorkerID: worker}).Grant(t.Context(), &artifactv1.WorkerGrantRequest{
		BuildId: id, Attempt: attempt, Kind: artifactv1.Kind_KIND_VARIABLES, Environment: "production", PublicKey: key.Public(),
	})
	if err != nil {
		return nil, err
	}
	plain, err := key.Open(resp.GetSealedVariables(), sealedbox.AboutBuild(id, attempt, "production")...)
	if err != nil {
		t.Fatal(err)
	}
	var set artifactv1.VariableSet
	return &set, proto.Unmarshal(plain, &set)
}

// asWorker connects to the bus with the identity in a worker's state directory.
func (f *farm) asWorker(state string) (nc *nats.Conn, id string) {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(state, "identity.json"))
	if err != nil {
		f.t.Fatal(err)
	}
	var own api.JoinRequest
	if err := json.Unmarshal(data, &own); err != nil {
		f.t.Fatal(err)
	}
	joined, err := f.client().Workers.Join(f.t.Context(), api.JoinRequest{Name: "again", WorkerID: own.WorkerID, Secret: own.Secret})
	if err != nil || joined.WorkerID != own.WorkerID {
		f.t.Fatalf("join = %v, %v, want the same worker", joined.WorkerID, err)
	}
	nc, err = bus.Connect(bus.Config{
		URL: joined.BusURL, Name: "again", User: joined.WorkerID, Password: joined.Secret, InboxPrefix: bus.InboxPrefix(joined.WorkerID),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	return nc, joined.WorkerID
}

func (f *farm) shellWorker(state string) *process {
	f.t.Helper()
	return run(f.t, []string{"FREEAGENT_API_KEY=" + farmKey},
		"worker", "--server", f.url(), "--name", "shell", "--state-dir", state, "--work-dir", filepath.Join(f.t.TempDir(), "w"), "--executor", "shell")
}

// TestVariablesOfAProject: an administrator sets them, a build prints them masked, and nobody else gets them: not another worker, not the
// same one after the build's end, not a reader of the server's files. A backup has them.
func TestVariablesOfAProject(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	const value = "correct-horse-battery-staple"
	files := t.TempDir()
	gate, secretFile := filepath.Join(files, "gate"), filepath.Join(files, "secret")
	if err := os.WriteFile(secretFile, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.says("env", "set", "PHRASE", "--value-file", secretFile, "--visibility", "secret", "--project", "shop", "--environment", "production")
	f.says("env", "set", "GATE="+gate, "--visibility", "plain", "--project", "shop", "--environment", "production")
	if list := f.says("env", "list", "--project", "shop"); !strings.Contains(list, gate) || !strings.Contains(list, "(hidden)") || strings.Contains(list, value) {
		t.Errorf("freeagent env list printed\n%s", list)
	}
	state := filepath.Join(t.TempDir(), "worker")
	w := f.shellWorker(state)
	source := map[string]string{
		"eas.json":       `{"build":{"production":{"environment":"production"}}}`,
		"freeagent.json": `{"profiles":{"production":{"result":"out","stages":[{"name":"print","run":"echo the phrase is $PHRASE; until [ -e $GATE ]; do sleep 0.05; done; echo made > out"}]}}}`,
	}
	submit := func() string {
		t.Helper()
		sub, err := f.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Project: "shop", Source: packed(t, source)})
		if err != nil {
			t.Fatal(err)
		}
		return sub.ID
	}
	printed := func(id string) bool {
		for _, l := range f.logOf(id) {
			if strings.Contains(l.Text, value) {
				t.Fatalf("the log says %q", l.Text)
			}
			if l.Text == "the phrase is [secret]" {
				return true
			}
		}
		return false
	}
	id := submit()
	f.eventually("the build prints its variable", func() bool { return printed(id) })
	evil := f.intruder()
	if set, err := variablesAs(t, evil.js.Conn(), evil.id, id, 1); !errors.Is(err, build.ErrLeaseLost) {
		t.Errorf("another worker gets %v, %v, want ErrLeaseLost", set, err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.completedOnce(id)
	w.stop()
	nc, holder := f.asWorker(state)
	if set, err := variablesAs(t, nc, holder, id, 1); !errors.Is(err, build.ErrLeaseLost) {
		t.Errorf("after the build's end its worker gets %v, %v, want ErrLeaseLost", set, err)
	}
	nc.Close()
	if looked := filesWith(t, f.dir, value); looked == 0 {
		t.Error("no files were looked at")
	}

	to := filepath.Join(t.TempDir(), "copy")
	if said := f.says("backup", "--data-dir", f.dir, to); !strings.Contains(said, "4 databases") {
		t.Errorf("backup said %q", said)
	}
	f.kill()
	f.dir = to
	f.up()
	f.shellWorker(filepath.Join(t.TempDir(), "second"))
	id = submit()
	f.completedOnce(id)
	if !printed(id) {
		t.Error("a build of the backup does not see the variable")
	}
}

// filesWith reports files below dir that contain a text, and returns how many it looked at.
func filesWith(t *testing.T, dir, text string) (looked int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // replaced meanwhile
		}
		looked++
		if bytes.Contains(data, []byte(text)) {
			t.Errorf("%s contains the value", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return looked
}
