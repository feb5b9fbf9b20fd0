package ingest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/ingest/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// expire lets a build go as the scheduler does.
func (s *scheduler) expire(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.traces == nil {
		s.traces = map[string]*schedulerv1.ExpiredBuild{}
	}
	b := s.find(id)
	s.traces[id] = &schedulerv1.ExpiredBuild{
		Id: id, Project: "shop", Platform: b.GetPlatform(), State: "completed", WorkerId: "w1", SubmittedAtMs: 1_700_000_000_000,
		AssignedAtMs: 1_700_000_001_000, FinishedAtMs: 1_700_000_002_000, ExpiredAtMs: 1_702_600_000_000, Rule: "age",
		Policy: "the farm's policy (builds are kept for 30d)",
	}
	s.builds = deleteBuild(s.builds, id)
}

func deleteBuild(all []*schedulerv1.Build, id string) (others []*schedulerv1.Build) {
	for _, b := range all {
		if b.GetId() != id {
			others = append(others, b)
		}
	}
	return others
}

// TestExpiredBuildIsGone: API v2 says when and why a build has expired, wherever it is asked for,
// with a key and with the token that its submitter still has.
func TestExpiredBuildIsGone(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, token := f.submit()
	f.scheduler.expire(id)
	const sentence = " (completed, ended 2023-11-14) expired on 2023-12-15 by the farm's policy (builds are kept for 30d). Its source, log and result are deleted."
	want := api.Expired{
		ID: id, Project: "shop", Platform: "ios", Status: "completed", SubmittedAt: "2023-11-14T22:13:20.000Z",
		AssignedAt: "2023-11-14T22:13:21.000Z", FinishedAt: "2023-11-14T22:13:22.000Z", ExpiredAt: "2023-12-15T00:26:40.000Z",
		Rule: "age", Policy: "the farm's policy (builds are kept for 30d)",
	}
	for _, ask := range []struct{ method, tail string }{
		{"GET", ""}, {"GET", "/logs"}, {"GET", "/events"}, {"GET", "/result"}, {"GET", "/telemetry"}, {"POST", "/cancel"}, {"POST", "/retry"},
	} {
		for _, h := range []hdr{{"X-API-Key": adminKey}, {"X-Build-Token": token}} {
			if ask.tail == "/cancel" && h["X-API-Key"] == "" {
				continue
			}
			r := f.do(ask.method, api.Path+"/builds/"+id+ask.tail, nil, h)
			var p api.Problem
			if err := json.Unmarshal(r.body, &p); err != nil || r.status != http.StatusGone || p.Code != "build_expired" || p.Detail != "Build "+id+sentence {
				t.Errorf("%s %s = %d %s", ask.method, ask.tail, r.status, r.body)
			}
			if p.Expired == nil || *p.Expired != want {
				t.Errorf("%s %s: %s", ask.method, ask.tail, cmp.Diff(&want, p.Expired))
			}
		}
	}
	f.get(api.Path+"/builds/unknown").want(t, 404)
}

// TestExpiredBuildInAPIv1: its clients can still ask how a build went; all else is as if it were
// unknown.
func TestExpiredBuildInAPIv1(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.scheduler.expire(id)
	status := f.get("/api/builds/"+id+"/status").want(t, 200)
	const want = `{"id":"ID","status":"completed","platform":"ios","worker_id":"w1","submitted_at":1700000000000,` +
		`"started_at":1700000001000,"completed_at":1700000002000,"error_message":null}` + "\n"
	if got := strings.ReplaceAll(string(status.body), id, "ID"); got != want {
		t.Errorf("status = %s, want %s", got, want)
	}
	f.get("/api/builds/"+id+"/download").want(t, 404, "Build not found")
	f.get("/api/builds/"+id+"/logs").want(t, 404, "Build not found")
	f.post("/api/builds/"+id+"/cancel").want(t, 404, "Build not found")
	f.post("/api/builds/"+id+"/retry").want(t, 400, "The source of build "+id+" is not kept any more; submit it again")
}

// TestExpireLeavesNothingInTheGateway.
func TestExpireLeavesNothingInTheGateway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec(`INSERT INTO webhooks (id, url, format, events, project, description, secret, enabled, created_at) VALUES ('h', '', '', '', '', '', '', 1, 0)`)
	for _, id := range []string{"b1", "b2"} {
		for _, q := range []string{
			`INSERT INTO webhook_deliveries (id, hook_id, event_id, event, subject, place, body, created_at, state, next_at, ended_at)
				VALUES ('d-' || $1, 'h', 'e', 'build.completed', $1, 1, '', 9000000000000, 'delivered', 0, 9000000000000)`,
			`INSERT INTO webhook_attempts (delivery_id, at, status, error, took_ms) VALUES ('d-' || $1, 0, 200, '', 1)`,
			`INSERT INTO log_sizes (build_id, attempt, lines, bytes, at_ms) VALUES ($1, 1, 1, 1, 9000000000000)`,
			`INSERT INTO unanswered_submits (build_id, key_id, source_sha256, certs_sha256, platform, since) VALUES ($1, 'k', '', '', 'ios', 9000000000000)`,
			`INSERT INTO idempotency (owner, name, build_id, fingerprint, created_at) VALUES ('o', $1, $1, 'f', 9000000000000)`,
			`INSERT INTO sessions (hash, build_id, expires_ms) VALUES ($1, $1, 9000000000000)`,
			`INSERT INTO former_tokens (build_id, hash) VALUES ($1, 'h')`,
		} {
			f.exec(q, id)
		}
	}
	for _, id := range []string{"w1", "w2", "w3"} {
		f.exec(`INSERT INTO worker_credentials (worker_id, secret_hash, pool, platforms, revoked, joined_at) VALUES ($1, '', '', '', $2, 0)`, id, id == "w3")
	}
	ask := func(verb string, req, resp proto.Message) {
		t.Helper()
		if err := rpc.Call(t.Context(), f.bus.Connect("test"), bus.RequestSubject("ingest", verb), req, resp); err != nil {
			t.Fatal(err)
		}
	}
	atOnce, later := []string{"webhook_deliveries", "webhook_attempts", "log_sizes", "unanswered_submits"}, []string{"idempotency", "sessions", "former_tokens"}
	ask("expire_builds", &ingestv1.ExpireBuildsRequest{BuildIds: []string{"b1"}}, &ingestv1.ExpireBuildsResponse{})
	f.wantRows(1, atOnce...)
	f.wantRows(2, later...)
	ask("expire_builds", &ingestv1.ExpireBuildsRequest{BuildIds: []string{"b1"}, Forget: true}, &ingestv1.ExpireBuildsResponse{})
	f.wantRows(1, append(atOnce, later...)...)
	ask("forget_workers", &ingestv1.ForgetWorkersRequest{WorkerIds: []string{"w1", "w3"}}, &ingestv1.ForgetWorkersResponse{})
	f.wantRows(2, "worker_credentials") // the one that is there, and the one that was revoked
}

func (f *farm) exec(q string, args ...any) {
	f.t.Helper()
	err := f.db.WithTx(f.t.Context(), func(tx *database.Tx) error {
		_, err := tx.ExecContext(f.t.Context(), q, args...)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *farm) wantRows(want int, tables ...string) {
	f.t.Helper()
	for _, table := range tables {
		var n int
		if err := f.db.Read().QueryRowContext(f.t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			f.t.Fatal(err)
		}
		if n != want {
			f.t.Errorf("%d rows of %s, want %d", n, table, want)
		}
	}
}
