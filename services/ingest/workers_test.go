package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func (f *farm) join(req api.JoinRequest) (api.JoinResponse, reply) {
	f.t.Helper()
	data, err := json.Marshal(req)
	if err != nil {
		f.t.Fatal(err)
	}
	r := f.do("POST", api.Path+"/workers", strings.NewReader(string(data)), withKey())
	var resp api.JoinResponse
	if r.status == 200 {
		if err := json.Unmarshal(r.body, &resp); err != nil {
			f.t.Fatal(err)
		}
	}
	return resp, r
}

func TestJoin(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first, r := f.join(api.JoinRequest{Name: "mac-1", Slots: 2, Labels: map[string]string{"xcode": "26"}, Version: "1.2.3"})
	r.want(t, 200)
	if first.Pool != "default" || len(first.Secret) < 40 || !strings.HasPrefix(first.BusURL, "nats://127.0.0.1:") {
		t.Errorf("joined = %+v", first)
	}
	if diff := cmp.Diff([]string{"ios", "android"}, first.Platforms, sorted()); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
	if w := f.scheduler.workers[first.WorkerID]; w.GetName() != "mac-1" || w.GetSlots() != 2 || w.GetLabels()["xcode"] != "26" || w.GetVersion() != "1.2.3" {
		t.Errorf("registered = %v", w)
	}
	again, _ := f.join(api.JoinRequest{Name: "mac-1", WorkerID: first.WorkerID, Secret: first.Secret, Pool: "fast", Platforms: []string{"ios"}})
	if again.WorkerID != first.WorkerID || again.Secret != first.Secret || again.Pool != "fast" || len(again.Platforms) != 1 {
		t.Errorf("joined again = %+v, want the same identity", again)
	}
	if w := f.scheduler.workers[first.WorkerID]; w.GetSlots() != 1 || w.GetPool() != "fast" {
		t.Errorf("registered = %v", w)
	}
	for name, req := range map[string]api.JoinRequest{
		"wrong secret": {WorkerID: first.WorkerID, Secret: "wrong"}, "no secret": {WorkerID: first.WorkerID},
		"unknown": {WorkerID: "w-unknown", Secret: first.Secret}, "impossible": {WorkerID: "a.b >", Secret: first.Secret},
	} {
		req.Name = name
		if other, r := f.join(req); r.status != 200 || other.WorkerID == first.WorkerID || other.WorkerID == req.WorkerID || other.Secret == first.Secret {
			t.Errorf("%s: %d, %+v, want a new identity", name, r.status, other)
		}
	}
	if f.log.contains(first.Secret) {
		t.Error("the secret is in the log")
	}
}

func sorted() cmp.Option {
	return cmp.Transformer("set", func(s []string) map[string]bool {
		m := map[string]bool{}
		for _, v := range s {
			m[v] = true
		}
		return m
	})
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, req := range map[string]api.JoinRequest{
		"no name": {}, "pool": {Name: "x", Pool: "a.*"}, "platform": {Name: "x", Platforms: []string{"windows.>"}},
	} {
		if _, r := f.join(req); r.status != 400 || r.json(t)["code"] != "invalid_request" {
			t.Errorf("%s = %d %s", name, r.status, r.body)
		}
	}
	for _, body := range []string{"", "{", "[]", "5", `{"name":"x"}{}`, `{"name":5}`, `{"name":"` + strings.Repeat("x", 2<<20) + `"}`} {
		f.do("POST", api.Path+"/workers", strings.NewReader(body), withKey()).want(t, 400)
	}
	w, _ := f.join(api.JoinRequest{Name: "bad"})
	st, err := store.New(t.Context(), f.db)
	if err == nil {
		err = st.Revoke(t.Context(), w.WorkerID)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, r := f.join(api.JoinRequest{Name: "bad", WorkerID: w.WorkerID, Secret: w.Secret})
	r.want(t, 403)
}

// TestWorkerGetsOntoTheBus: what a join answered with is let in by the gateway's own answer to the
// bus, and only that.
func TestWorkerGetsOntoTheBus(t *testing.T) {
	t.Parallel()
	key := issuer(t)
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	fa := server.NewAccount("FA")
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Accounts: []*server.Account{fa}, Users: []*server.User{{Username: "services", Password: "pass", Account: fa}},
		AuthCallout: &server.AuthCallout{Issuer: public, Account: "FA", AuthUsers: []string{"services"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server is not ready")
	}
	services := func(name string) *nats.Conn {
		nc, err := bus.Connect(bus.Config{URL: srv.ClientURL(), Name: name, User: "services", Password: "pass"}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	f := &farm{t: t, db: databasetest.Open(t, databasetest.SQLite(t)), log: &logBuffer{}, cfg: config()}
	f.scheduler, f.artifact = startScheduler(t, services("scheduler")), startArtifact(t, services("artifact"))
	deps := f.deps(services("ingest"), key)
	deps.Account = "FA"
	gateway, err := ingest.New(t.Context(), f.cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	f.serve(gateway.Handler())

	w, r := f.join(api.JoinRequest{Name: "mac"})
	r.want(t, 200)
	connect := func(user, password string) (*nats.Conn, error) {
		return nats.Connect(srv.ClientURL(), nats.UserInfo(user, password), nats.CustomInboxPrefix(bus.InboxPrefix(w.WorkerID)))
	}
	var nc *nats.Conn
	eventually(t, "the worker is let in", func() bool { nc, err = connect(w.WorkerID, w.Secret); return err == nil })
	nc.Close()
	for name, c := range map[string][2]string{"wrong secret": {w.WorkerID, "x"}, "unknown": {"nobody", w.Secret}, "hostile": {">", w.Secret}} {
		if _, err := connect(c[0], c[1]); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v, want an authorization violation", name, err)
		}
	}
}
