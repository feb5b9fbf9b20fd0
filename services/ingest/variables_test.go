package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

// variableStore is the far end that keeps variables.
type variableStore struct {
	t   *testing.T
	key sealedbox.Key
	mu  sync.Mutex
	// values are by project, environment and name, joined by slashes.
	values map[string]string
}

func (f *farm) variableStore(t *testing.T) *variableStore {
	t.Helper()
	key, err := sealedbox.New()
	if err != nil {
		t.Fatal(err)
	}
	v := &variableStore{t: t, key: key, values: map[string]string{}}
	serve(t, f.bus.Connect("variables"), "artifact", func(r *rpc.Service) error {
		return errors.Join(rpc.Handle(r, "variable_key", v.publicKey), rpc.Handle(r, "set_variable", v.set),
			rpc.Handle(r, "list_variables", v.list), rpc.Handle(r, "unset_variable", v.unset))
	})
	return v
}

func (v *variableStore) publicKey(context.Context, *artifactv1.VariableKeyRequest) (*artifactv1.VariableKeyResponse, error) {
	return &artifactv1.VariableKeyResponse{PublicKey: v.key.Public()}, nil
}

func (v *variableStore) set(_ context.Context, r *artifactv1.SetVariableRequest) (*artifactv1.SetVariableResponse, error) {
	value, err := v.key.Open(r.GetSealedValue(), sealedbox.AboutSet(r.GetProject(), r.GetName())...)
	if err != nil {
		v.t.Error(err)
	}
	if r.GetProject() == "full" {
		return nil, fmt.Errorf("%w: it is full", build.ErrTooLarge)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	resp := &artifactv1.SetVariableResponse{}
	for _, e := range r.GetEnvironments() {
		v.values[r.GetProject()+"/"+e+"/"+r.GetName()] = r.GetVisibility().String() + " " + string(value)
		resp.Variables = append(resp.Variables, &artifactv1.Variable{Name: r.GetName(), Environment: e, Visibility: r.GetVisibility(), UpdatedAtMs: 1})
	}
	return resp, nil
}

func (v *variableStore) list(_ context.Context, r *artifactv1.ListVariablesRequest) (*artifactv1.ListVariablesResponse, error) {
	return &artifactv1.ListVariablesResponse{Variables: []*artifactv1.Variable{
		{Name: "A", Environment: r.GetEnvironment(), Visibility: artifactv1.Visibility_VISIBILITY_PLAIN, Value: "of " + r.GetProject()},
		{Name: "B", Environment: "preview", Visibility: artifactv1.Visibility_VISIBILITY_SECRET},
	}}, nil
}

func (v *variableStore) unset(_ context.Context, r *artifactv1.UnsetVariableRequest) (*artifactv1.UnsetVariableResponse, error) {
	return &artifactv1.UnsetVariableResponse{Environments: r.GetEnvironments()[1:]}, nil
}

// TestVariables: values reach the artifact service sealed and whole, and are in no answer, log or message.
func TestVariables(t *testing.T) {
	t.Parallel()
	f := setup(t)
	far := f.variableStore(t)
	tap, err := f.bus.Connect("tap").SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	const value = "first \"line\"\nsecond-line-of-it\t\u00e9"
	body, err := json.Marshal(api.NewVariable{Name: "TOKEN", Environments: []string{"preview", "production"}, Visibility: "secret", Value: value})
	if err != nil {
		t.Fatal(err)
	}
	r := f.do("PUT", "/api/v2/variables?project=my+shop", strings.NewReader(string(body)), withKey()).want(t, 200)
	want := `{"variables":[{"name":"TOKEN","environment":"preview","visibility":"secret","updated_at":"1970-01-01T00:00:00.001Z"},` +
		`{"name":"TOKEN","environment":"production","visibility":"secret","updated_at":"1970-01-01T00:00:00.001Z"}]}`
	if strings.TrimSpace(string(r.body)) != want {
		t.Errorf("PUT = %s", r.body)
	}
	if got := far.values["my shop/production/TOKEN"]; got != "VISIBILITY_SECRET "+value || len(far.values) != 2 {
		t.Errorf("stored = %q", far.values)
	}
	r = f.do("PUT", "/api/v2/variables?project=shop", strings.NewReader(`{"name":"A","environments":["preview"],"value":"second-line-of-it"}`), withKey()).want(t, 200)
	if got := far.values["shop/preview/A"]; got != "VISIBILITY_SENSITIVE second-line-of-it" {
		t.Errorf("stored without visibility = %q, %s", got, r.body)
	}
	const end = "test.end"
	if err := f.js.Conn().Publish(end, nil); err != nil {
		t.Fatal(err)
	}
	for subject := ""; subject != end; {
		m, err := tap.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if subject = m.Subject; strings.Contains(string(m.Data), "second-line-of-it") {
			t.Errorf("a message on %s has the value", subject)
		}
	}
	if f.log.contains("second-line-of-it") {
		t.Error("the log has the value")
	}
	r = f.do("GET", "/api/v2/variables?project=shop&environment=preview", nil, withKey()).want(t, 200)
	if got := strings.TrimSpace(string(r.body)); got != `{"variables":[{"name":"A","environment":"preview","visibility":"plain","value":"of shop"},{"name":"B","environment":"preview","visibility":"secret"}]}` {
		t.Errorf("GET = %s", got)
	}
	r = f.do("DELETE", "/api/v2/variables?project=shop&name=A&environment=preview&environment=production", nil, withKey()).want(t, 200)
	if got := strings.TrimSpace(string(r.body)); got != `{"environments":["production"]}` {
		t.Errorf("DELETE = %s", got)
	}
}

func TestVariablesAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.variableStore(t)
	st, err := store.New(t.Context(), f.db)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.PutKey(t.Context(), "reader", "reader-key-0123456789", identity.Scopes{identity.ScopeRead, identity.ScopeSubmit, identity.ScopeWorker}); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		f.do(method, "/api/v2/variables?project=shop", nil, hdr{"X-API-Key": "reader-key-0123456789"}).want(t, 403)
	}
	large := strings.Repeat("x", build.MaxVariableBytes+1)
	for name, c := range map[string]struct {
		project, body string
		status        int
		code, says    string
	}{
		"unknown visibility": {"shop", `{"name":"A","environments":["preview"],"value":"v","visibility":"public"}`, http.StatusBadRequest, "invalid_request", "plain, sensitive or secret"},
		"unknown field":      {"shop", `{"name":"A","environments":["preview"],"value":"v","visible":"plain"}`, http.StatusBadRequest, "invalid_request", "visible"},
		"empty":              {"shop", `{"name":"A","environments":["preview"]}`, http.StatusBadRequest, "invalid_request", "empty"},
		"too large":          {"shop", `{"name":"A","environments":["preview"],"value":"` + large + `"}`, http.StatusRequestEntityTooLarge, "too_large", "32769 bytes"},
		"no room":            {"full", `{"name":"A","environments":["preview"],"value":"v"}`, http.StatusRequestEntityTooLarge, "too_large", "it is full"},
	} {
		r := f.do("PUT", "/api/v2/variables?project="+c.project, strings.NewReader(c.body), withKey())
		if r.status != c.status || !strings.Contains(string(r.body), c.code) || !strings.Contains(string(r.body), c.says) || strings.Contains(string(r.body), "xxxx") {
			t.Errorf("%s: %d %s, want %d %s with %q", name, r.status, r.body, c.status, c.code, c.says)
		}
	}
}
