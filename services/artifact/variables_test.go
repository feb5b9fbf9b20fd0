package artifact_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

const (
	plain     = artifactv1.Visibility_VISIBILITY_PLAIN
	sensitive = artifactv1.Visibility_VISIBILITY_SENSITIVE
	secret    = artifactv1.Visibility_VISIBILITY_SECRET
)

// sealValue seals a value as a gateway does.
func (f *farm) sealValue(project, name, value string) []byte {
	f.t.Helper()
	var key artifactv1.VariableKeyResponse
	if err := f.call("variable_key", &artifactv1.VariableKeyRequest{}, &key); err != nil {
		f.t.Fatal(err)
	}
	sealed, err := sealedbox.Seal(key.GetPublicKey(), []byte(value), sealedbox.AboutSet(project, name)...)
	if err != nil {
		f.t.Fatal(err)
	}
	return sealed
}

func (f *farm) set(project, name, value string, v artifactv1.Visibility, environments ...string) error {
	f.t.Helper()
	return f.call("set_variable", &artifactv1.SetVariableRequest{
		Project: project, Environments: environments, Name: name, Visibility: v, SealedValue: f.sealValue(project, name, value),
	}, &artifactv1.SetVariableResponse{})
}

func (f *farm) mustSet(project, name, value string, v artifactv1.Visibility, environments ...string) {
	f.t.Helper()
	if err := f.set(project, name, value, v, environments...); err != nil {
		f.t.Fatalf("set %s: %v", name, err)
	}
}

// listed returns the variables of a project as lines.
func (f *farm) listed(project, environment string) (lines []string) {
	f.t.Helper()
	var resp artifactv1.ListVariablesResponse
	if err := f.call("list_variables", &artifactv1.ListVariablesRequest{Project: project, Environment: environment}, &resp); err != nil {
		f.t.Fatal(err)
	}
	for _, v := range resp.GetVariables() {
		if v.GetUpdatedAtMs() == 0 {
			f.t.Errorf("%s has no time", v.GetName())
		}
		lines = append(lines, fmt.Sprintf("%s %s %s=%q", v.GetEnvironment(), strings.ToLower(strings.TrimPrefix(v.GetVisibility().String(), "VISIBILITY_")), v.GetName(), v.GetValue()))
	}
	return lines
}

// variablesFor asks as a worker does, and opens the answer.
func (f *farm) variablesFor(worker, buildID string, attempt int32, environment string) (map[string]string, error) {
	f.t.Helper()
	key, err := sealedbox.New()
	if err != nil {
		f.t.Fatal(err)
	}
	req := &artifactv1.WorkerGrantRequest{
		BuildId: buildID, Attempt: attempt, Kind: artifactv1.Kind_KIND_VARIABLES, Environment: environment, PublicKey: key.Public(),
	}
	var resp artifactv1.WorkerGrantResponse
	if err := rpc.Call(f.t.Context(), f.conn, bus.WorkerRequestSubject("artifact", "grant", worker), req, &resp); err != nil {
		return nil, err
	}
	opened, err := key.Open(resp.GetSealedVariables(), sealedbox.AboutBuild(buildID, attempt, environment)...)
	if err != nil {
		f.t.Fatal(err)
	}
	var set artifactv1.VariableSet
	if err := proto.Unmarshal(opened, &set); err != nil {
		f.t.Fatal(err)
	}
	values := map[string]string{}
	for _, v := range set.GetVariables() {
		values[v.GetName()] = v.GetValue()
	}
	return values, nil
}

func eachDatabase(t *testing.T, test func(t *testing.T, f *farm)) {
	t.Helper()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		test(t, setup(t, option{db: open(t)}))
	})
}

func TestVariables(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, f *farm) {
		f.mustSet("shop", "API_URL", "https://old.example.com", plain, "production", "preview")
		f.mustSet("shop", "API_URL", "https://shop.example.com", plain, "production")
		f.mustSet("shop", "SENTRY_AUTH_TOKEN", "sntrys_0123456789", secret, "production")
		f.mustSet("shop", "KEY", "-----BEGIN KEY-----\nabc\n", sensitive, "production", "production")
		f.mustSet("bank", "API_URL", "https://bank.example.com", plain, "production")
		want := []string{
			`preview plain API_URL="https://old.example.com"`, `production plain API_URL="https://shop.example.com"`,
			`production sensitive KEY=""`, `production secret SENTRY_AUTH_TOKEN=""`,
		}
		if diff := cmp.Diff(want, f.listed("shop", "")); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[:1], f.listed("shop", "preview")); diff != "" {
			t.Errorf("list of preview (-want +got):\n%s", diff)
		}
		f.scheduler.set(&schedulerv1.Build{Id: "b1", Project: "shop", Attempt: 1}, "w1")
		got, err := f.variablesFor("w1", "b1", 1, "production")
		all := map[string]string{"API_URL": "https://shop.example.com", "SENTRY_AUTH_TOKEN": "sntrys_0123456789", "KEY": "-----BEGIN KEY-----\nabc\n"}
		if diff := cmp.Diff(all, got); err != nil || diff != "" {
			t.Errorf("variables of the build = %v (-want +got):\n%s", err, diff)
		}
		var unset artifactv1.UnsetVariableResponse
		req := &artifactv1.UnsetVariableRequest{Project: "shop", Environments: []string{"preview", "production", "staging"}, Name: "API_URL"}
		if err := f.call("unset_variable", req, &unset); err != nil || len(unset.GetEnvironments()) != 2 {
			t.Errorf("unset = %v, %v, want it gone from two environments", unset.GetEnvironments(), err)
		}
		if err := f.call("unset_variable", req, &unset); err != nil || len(unset.GetEnvironments()) != 0 {
			t.Errorf("unset again = %v, %v, want nothing and no error", unset.GetEnvironments(), err)
		}
		if diff := cmp.Diff(want[2:], f.listed("shop", "")); diff != "" {
			t.Errorf("list afterwards (-want +got):\n%s", diff)
		}
	})
}

// TestVariablesOnlyForTheHolder: a worker gets the variables of the build's project while it holds the attempt, and no others.
func TestVariablesOnlyForTheHolder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.mustSet("shop", "TOKEN", "of-the-shop", secret, "production")
	f.mustSet("bank", "TOKEN", "of-the-bank", secret, "production")
	f.scheduler.set(&schedulerv1.Build{Id: "b1", Project: "shop", Attempt: 2}, "w1")
	f.scheduler.set(&schedulerv1.Build{Id: "b2", Attempt: 1}, "w1") // without a project
	for name, c := range map[string]struct {
		worker, build string
		attempt       int32
		environment   string
		want          string
		err           error
	}{
		"the holder":             {"w1", "b1", 2, "production", "of-the-shop", nil},
		"another environment":    {"w1", "b1", 2, "preview", "", nil},
		"no project":             {"w1", "b2", 1, "production", "", nil},
		"another worker":         {"w2", "b1", 2, "production", "", build.ErrLeaseLost},
		"a past attempt":         {"w1", "b1", 1, "production", "", build.ErrLeaseLost},
		"an attempt to come":     {"w1", "b1", 3, "production", "", build.ErrLeaseLost},
		"an unknown build":       {"w1", "b9", 1, "production", "", build.ErrNotFound},
		"an invalid build":       {"w1", "../b", 1, "production", "", build.ErrInvalid},
		"an invalid environment": {"w1", "b1", 2, "no such!", "", build.ErrInvalid},
	} {
		got, err := f.variablesFor(c.worker, c.build, c.attempt, c.environment)
		if !errors.Is(err, c.err) || got["TOKEN"] != c.want {
			t.Errorf("%s: %v, %v, want TOKEN %q and %v", name, got, err, c.want, c.err)
		}
	}
	f.scheduler.set(&schedulerv1.Build{Id: "b1", Project: "shop", Attempt: 2}, "") // it has ended
	if _, err := f.variablesFor("w1", "b1", 2, "production"); !errors.Is(err, build.ErrLeaseLost) {
		t.Errorf("after the build's end = %v, want ErrLeaseLost", err)
	}
}

func TestVariableLimits(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, f *farm) {
		big := strings.Repeat("x", build.MaxVariableBytes)
		for name, c := range map[string]struct {
			project, name, value string
			visibility           artifactv1.Visibility
			environments         []string
			err                  error
			says                 string
		}{
			"no project":         {"", "A", "v", plain, []string{"production"}, build.ErrInvalid, "project"},
			"a digit first":      {"shop", "1A", "v", plain, []string{"production"}, build.ErrInvalid, "1A"},
			"the worker's":       {"shop", "FREEAGENT_" + "X", "v", plain, []string{"production"}, build.ErrInvalid, "worker's own"},
			"no environment":     {"shop", "A", "v", plain, nil, build.ErrInvalid, "environments"},
			"upper case":         {"shop", "A", "v", plain, []string{"Production"}, build.ErrInvalid, "Production"},
			"no visibility":      {"shop", "A", "v", 0, []string{"production"}, build.ErrInvalid, "visibility"},
			"empty":              {"shop", "A", "", plain, []string{"production"}, build.ErrInvalid, "empty"},
			"no text":            {"shop", "A", "hidden-value\xff", secret, []string{"production"}, build.ErrInvalid, "UTF-8"},
			"NUL":                {"shop", "A", "hidden-value\x00", secret, []string{"production"}, build.ErrInvalid, "NUL"},
			"too large a value":  {"shop", "A", big + "x", secret, []string{"production"}, build.ErrTooLarge, "32769 bytes"},
			"too large together": {"shop", "A", big, secret, environments(17), build.ErrTooLarge, "512 KiB"},
		} {
			err := f.set(c.project, c.name, c.value, c.visibility, c.environments...)
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %v with %q", name, err, c.err, c.says)
			}
			if err != nil && (strings.Contains(err.Error(), "hidden-value") || strings.Contains(err.Error(), "xxxx")) {
				t.Errorf("%s: the value is in the error %v", name, err)
			}
		}
		if left := f.listed("shop", ""); len(left) != 0 {
			t.Errorf("refused and stored: %v", left)
		}
		for i := range build.MaxVariables / 20 {
			f.mustSet("shop", fmt.Sprintf("V%d", i), "v", plain, environments(20)...)
		}
		if err := f.set("shop", "ONE_MORE", "v", plain, "production"); !errors.Is(err, build.ErrTooLarge) || !strings.Contains(err.Error(), "500 variables") {
			t.Errorf("one more than there may be: %v, want ErrTooLarge", err)
		}
		f.mustSet("shop", "V0", "replaced", plain, "env-0")
		f.mustSet("bank", "ONE_MORE", "v", plain, "production")
	})
}

func environments(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("env-%d", i))
	}
	return names
}

// TestValuesAreNowhereInTheClear: not in the database's files, not on the bus, not in the log.
func TestValuesAreNowhereInTheClear(t *testing.T) {
	t.Parallel()
	url := databasetest.SQLite(t)
	db := databasetest.Open(t, url)
	f := setup(t, option{db: db})
	tap, err := f.bus.Connect("tap").SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	const value = "correct-horse-battery-staple"
	for _, v := range []artifactv1.Visibility{plain, sensitive, secret} {
		f.mustSet("shop", "PHRASE_"+v.String(), value, v, "production")
	}
	f.scheduler.set(&schedulerv1.Build{Id: "b1", Project: "shop", Attempt: 1}, "w1")
	got, err := f.variablesFor("w1", "b1", 1, "production")
	if err != nil || len(got) != 3 || got["PHRASE_VISIBILITY_SECRET"] != value {
		t.Fatalf("variables = %v, %v", got, err)
	}
	if err := f.set("bank", "PHRASE", value+"\x00", secret, "production"); err == nil {
		t.Fatal("a value with NUL is accepted")
	}
	if n := messagesWith(t, f.conn, tap, value); n != 0 {
		t.Errorf("%d messages on the bus have the value", n)
	}
	if strings.Contains(f.log.String(), value) {
		t.Error("the log has the value")
	}
	name := strings.TrimPrefix(url, "sqlite://")
	files, err := filepath.Glob(name + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("files of the database: %v, %v", files, err)
	}
	found := false
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(data, []byte("PHRASE_VISIBILITY_SECRET"))
		if bytes.Contains(data, []byte(value)) {
			t.Errorf("%s has the value", filepath.Base(file))
		}
	}
	if !found {
		t.Error("no file has the variable's name: the test looks at the wrong ones")
	}
}

// messagesWith counts the messages so far that contain a text.
func messagesWith(t *testing.T, nc *nats.Conn, tap *nats.Subscription, text string) (n int) {
	t.Helper()
	const end = "test.end"
	if err := nc.Publish(end, nil); err != nil {
		t.Fatal(err)
	}
	for seen := 0; ; seen++ {
		m, err := tap.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == end {
			if seen == 0 {
				t.Error("the tap saw no message")
			}
			return n
		}
		if strings.Contains(m.Subject+fmt.Sprint(m.Header)+string(m.Data), text) {
			n++
		}
	}
}

// TestExchangedRowsDoNotOpen: who can write the database cannot move a value to a place where it shows.
func TestExchangedRowsDoNotOpen(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.mustSet("shop", "TOKEN", "of-the-shop", secret, "production")
	f.scheduler.set(&schedulerv1.Build{Id: "b1", Project: "bank", Attempt: 1}, "w1")
	for _, change := range []string{"project = 'bank'", "visibility = 'plain'", "project = 'shop'"} {
		err := f.db.WithTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.ExecContext(t.Context(), "UPDATE variables SET "+change)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := f.call("list_variables", &artifactv1.ListVariablesRequest{Project: "shop"}, &artifactv1.ListVariablesResponse{})
	if build.Code(err) != build.CodeInternal || strings.Contains(err.Error(), "of-the-shop") {
		t.Errorf("list of a changed row = %v, want an internal error", err)
	}
}

// TestReplicasShareVariables: any replica opens what was sealed for another.
func TestReplicasShareVariables(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sealed := f.sealValue("shop", "TOKEN", "of-the-shop")
	first := f.stop
	f.start(artifact.Deps{DB: f.db, Store: f.store, Conn: f.bus.Connect("second"), Log: f.slog()})
	if err := first(); err != nil {
		t.Fatal(err)
	}
	req := &artifactv1.SetVariableRequest{Project: "shop", Environments: []string{"production"}, Name: "TOKEN", Visibility: secret, SealedValue: sealed}
	if err := f.call("set_variable", req, &artifactv1.SetVariableResponse{}); err != nil {
		t.Error(err)
	}
	req.Project = "bank" // sealed for another project
	if err := f.call("set_variable", req, &artifactv1.SetVariableResponse{}); !errors.Is(err, build.ErrInvalid) {
		t.Errorf("set in another project = %v, want ErrInvalid", err)
	}
}

// TestSetsAtOnce: requests that meet leave one of their values.
func TestSetsAtOnce(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, f *farm) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() { f.mustSet("shop", "A", fmt.Sprintf("value-%d", i), plain, "preview", "production") })
		}
		all.Wait()
		got := f.listed("shop", "")
		if len(got) != 2 || !strings.HasPrefix(got[0], `preview plain A="value-`) || strings.TrimPrefix(got[0], "preview") != strings.TrimPrefix(got[1], "production") {
			t.Errorf("list = %v, want one value in both environments", got)
		}
	})
}
