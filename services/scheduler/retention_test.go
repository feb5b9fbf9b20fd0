package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	ingestv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/ingest/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// keepers are the other services, which are asked to delete.
type keepers struct {
	mu   sync.Mutex
	told map[string][]string
}

func serveKeepers(t *testing.T, srv *bustest.Server) *keepers {
	t.Helper()
	k := &keepers{told: map[string][]string{}}
	for name, add := range map[string]func(*rpc.Service) error{
		"artifact": func(s *rpc.Service) error {
			return errors.Join(
				rpc.Handle(s, "expire_builds", func(_ context.Context, r *artifactv1.ExpireBuildsRequest) (*artifactv1.ExpireBuildsResponse, error) {
					return &artifactv1.ExpireBuildsResponse{Bytes: 1000}, k.hear("artifact", r.GetBuildIds())
				}),
				rpc.Handle(s, "measure_builds", func(_ context.Context, r *artifactv1.MeasureBuildsRequest) (*artifactv1.MeasureBuildsResponse, error) {
					return &artifactv1.MeasureBuildsResponse{Bytes: 1000 * int64(len(r.GetBuildIds()))}, nil
				}))
		},
		"monitor": func(s *rpc.Service) error {
			return errors.Join(
				rpc.Handle(s, "expire_builds", func(_ context.Context, r *monitorv1.ExpireBuildsRequest) (*monitorv1.ExpireBuildsResponse, error) {
					return &monitorv1.ExpireBuildsResponse{}, k.hear("monitor", r.GetBuildIds())
				}),
				rpc.Handle(s, "forget_workers", func(_ context.Context, r *monitorv1.ForgetWorkersRequest) (*monitorv1.ForgetWorkersResponse, error) {
					return &monitorv1.ForgetWorkersResponse{}, k.hear("monitor workers", r.GetWorkerIds())
				}))
		},
		"ingest": func(s *rpc.Service) error {
			return errors.Join(
				rpc.Handle(s, "expire_builds", func(_ context.Context, r *ingestv1.ExpireBuildsRequest) (*ingestv1.ExpireBuildsResponse, error) {
					who := "ingest"
					if r.GetForget() {
						who = "ingest forgets"
					}
					return &ingestv1.ExpireBuildsResponse{}, k.hear(who, r.GetBuildIds())
				}),
				rpc.Handle(s, "forget_workers", func(_ context.Context, r *ingestv1.ForgetWorkersRequest) (*ingestv1.ForgetWorkersResponse, error) {
					return &ingestv1.ForgetWorkersResponse{}, k.hear("ingest workers", r.GetWorkerIds())
				}))
		},
	} {
		svc, err := rpc.NewService(srv.Connect(name), name, "1.0.0", slog.New(slog.DiscardHandler))
		if err == nil {
			err = add(svc)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = svc.Stop(ctx)
		})
	}
	return k
}

func (k *keepers) hear(who string, ids []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told[who] = append(k.told[who], ids...)
	return nil
}

func (k *keepers) heard(who string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := slices.Clone(k.told[who])
	slices.Sort(ids)
	return ids
}

func (b *bundle) sweep() {
	b.t.Helper()
	if err := b.retention.Sweep(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// ask is a request over the bus, as the other services make it.
func ask[Resp any, PResp interface {
	*Resp
	proto.Message
}](b *bundle, verb string, req proto.Message) (PResp, error) {
	b.t.Helper()
	resp := PResp(new(Resp))
	return resp, rpc.Call(b.t.Context(), b.nc, bus.RequestSubject("scheduler", verb), req, resp)
}

func (b *bundle) retained() *schedulerv1.GetRetentionResponse {
	b.t.Helper()
	resp, err := ask[schedulerv1.GetRetentionResponse](b, "get_retention", &schedulerv1.GetRetentionRequest{})
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

func (b *bundle) setPolicy(p *schedulerv1.RetentionPolicy) {
	b.t.Helper()
	if _, err := ask[schedulerv1.SetRetentionResponse](b, "set_retention", &schedulerv1.SetRetentionRequest{Policy: p}); err != nil {
		b.t.Fatal(err)
	}
}

// addOldBuilds adds three builds that ended years ago, one in each final state, and two that have not ended.
func (b *bundle) addOldBuilds() {
	b.t.Helper()
	const at = int64(1_700_000_000_000)
	err := b.db.WithTx(b.t.Context(), func(tx *database.Tx) error {
		for i, v := range []struct {
			id, platform, state string
			after               int64 // milliseconds until it ended
		}{
			{"-done", "ios", "completed", 61}, {"bad", "ios", "failed", 13}, {"off", "android", "cancelled", 5},
			{"waits", "android", "pending", 0}, {"held", "ios", "pending", 0},
		} {
			finished := int64(0)
			if v.after > 0 {
				finished = at + v.after
			}
			_, err := tx.ExecContext(b.t.Context(), `INSERT INTO builds
				(seq, id, project, platform, pool, state, attempt, source, submitted_at, assigned_at, finished_at, wait_told)
				VALUES ($1, $2, '', $3, 'default', $4, 1, $5, $6, $7, $8, 1)`,
				i+1, v.id, v.platform, v.state, `{"objectId":"source","size":"3"}`, at, at+1, finished)
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(b.t.Context(), `UPDATE totals_shards SET ended = 2, build_ms = 72 WHERE shard = 1`)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestRetention is the life of old builds from a change of policy to nothing.
func TestRetention(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		k := serveKeepers(t, b.srv)
		if p := b.retained().GetFarm(); p.GetMaxAgeSeconds() != 90*24*3600 || p.GetEffectiveAtMs()-p.GetSetAtMs() != 24*3600*1000 {
			t.Errorf("a new farm's policy = %v", p)
		}
		b.addOldBuilds()
		b.setPolicy(&schedulerv1.RetentionPolicy{MaxAgeSeconds: 30 * 24 * 3600})
		before, err := ask[schedulerv1.StatsResponse](b, "stats", &schedulerv1.StatsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		b.plansOldBuilds()
		b.sweep()
		if told := k.heard("artifact"); len(told) != 0 || b.retained().GetNotice() == "" {
			t.Errorf("builds %v expired before the notice was over (%q)", told, b.retained().GetNotice())
		}
		if s, err := ask[schedulerv1.SummaryResponse](b, "summary", &schedulerv1.SummaryRequest{}); err != nil || !strings.Contains(s.GetNotice(), "takes effect at") {
			t.Errorf("summary = %v, %v, want the notice", s, err)
		}
		b.skew.Store(int64(25 * time.Hour))
		b.sweep()
		for _, who := range []string{"artifact", "monitor", "ingest"} {
			if diff := cmp.Diff([]string{"-done", "bad", "off"}, k.heard(who)); diff != "" {
				t.Errorf("%s was told (-want +got):\n%s", who, diff)
			}
		}
		if after, err := ask[schedulerv1.StatsResponse](b, "stats", &schedulerv1.StatsRequest{}); err != nil || after.GetEnded() != before.GetEnded() || after.GetBuildMs() != before.GetBuildMs() {
			t.Errorf("figures = %v, %v, want %v", after, err, before)
		}
		b.isExpired("-done")
		b.publishEvents("-done", "other")
		b.skew.Store(int64(100 * 24 * time.Hour))
		b.sweep()
		if diff := cmp.Diff([]string{"-done", "bad", "off"}, k.heard("ingest forgets")); diff != "" {
			t.Errorf("forgotten (-want +got):\n%s", diff)
		}
		if r := b.retained(); r.GetExpired() != 0 || r.GetCleaning() != 0 || r.GetNotice() != "" {
			t.Errorf("retention = %v, want no trace", r)
		}
		if left, other := b.events("-done"), b.events("other"); len(left) != 0 || len(other) != 2 {
			t.Errorf("events: %v are left, of another build %v", left, other)
		}
	})
}

func (b *bundle) plansOldBuilds() {
	b.t.Helper()
	plan, err := ask[schedulerv1.PlanRetentionResponse](b, "plan_retention", &schedulerv1.PlanRetentionRequest{Limit: 2})
	if err != nil || plan.GetBuilds() != 3 || plan.GetBytes() != 3000 || plan.GetEstimated() || len(plan.GetOldest()) != 2 || plan.GetBeginsAtMs() == 0 {
		b.t.Errorf("plan = %v, %v", plan, err)
	}
	if o := plan.GetOldest()[0]; o.GetId() != "off" || o.GetRule() != "age" || o.GetBytes() != 3 {
		b.t.Errorf("the oldest = %v", o)
	}
	try, err := ask[schedulerv1.PlanRetentionResponse](b, "plan_retention", &schedulerv1.PlanRetentionRequest{
		Change: &schedulerv1.SetRetentionRequest{Policy: &schedulerv1.RetentionPolicy{MaxBuilds: 2}},
	})
	if err != nil || try.GetBuilds() != 1 {
		b.t.Errorf("plan of another policy = %v, %v", try, err)
	}
}

func (b *bundle) isExpired(id string) {
	b.t.Helper()
	got, err := ask[schedulerv1.GetResponse](b, "get", &schedulerv1.GetRequest{BuildId: id, Expired: true})
	if err != nil || got.GetBuild() != nil || got.GetExpired().GetState() != "completed" || got.GetExpired().GetRule() != "age" {
		b.t.Errorf("get = %v, %v, want what is left of it", got, err)
	}
	if _, err := ask[schedulerv1.GetResponse](b, "get", &schedulerv1.GetRequest{BuildId: id}); !errors.Is(err, build.ErrNotFound) {
		b.t.Errorf("get by a service that does not know of expired builds = %v", err)
	}
	again := &schedulerv1.SubmitRequest{BuildId: id, Platform: "ios", Source: &eventsv1.ObjectRef{ObjectId: "o"}}
	if resp, err := b.Submit(b.t.Context(), again); !errors.Is(err, build.ErrExpired) {
		b.t.Errorf("submit with the id of an expired build = %v, %v, want build.ErrExpired", resp, err)
	}
	if _, err := b.PinBuild(b.t.Context(), &schedulerv1.PinBuildRequest{BuildId: id}); !errors.Is(err, build.ErrNotFound) {
		b.t.Errorf("pin of an expired build = %v", err)
	}
}

func (b *bundle) publishEvents(ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		for _, e := range []bus.Event{bus.Queued, bus.Completed} {
			m, err := bus.NewMessage(b.t.Context(), "test", bus.BuildSubject(id, e), time.Now(), &eventsv1.BuildQueued{BuildId: id})
			if err == nil {
				_, err = b.js.PublishMsg(b.t.Context(), m.NATS())
			}
			if err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

func TestPins(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	serveKeepers(t, b.srv)
	b.addOldBuilds()
	pin := func(r *schedulerv1.PinBuildRequest) error {
		_, err := ask[schedulerv1.PinBuildResponse](b, "pin_build", r)
		return err
	}
	if err := pin(&schedulerv1.PinBuildRequest{BuildId: "-done", Note: "release 1.0"}); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*schedulerv1.PinBuildRequest{
		"an unknown build": {BuildId: "nothing"}, "a long note": {BuildId: "bad", Note: strings.Repeat("x", 201)}, "unpin an unknown build": {BuildId: "nothing", Unpin: true},
	} {
		if err := pin(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	b.setPolicy(&schedulerv1.RetentionPolicy{MaxAgeSeconds: 3600})
	b.skew.Store(int64(25 * time.Hour))
	b.sweep()
	got, err := ask[schedulerv1.GetResponse](b, "get", &schedulerv1.GetRequest{BuildId: "-done", Expired: true})
	if err != nil || got.GetPin().GetNote() != "release 1.0" || got.GetPin().GetPinnedAtMs() == 0 {
		t.Errorf("get = %v, %v, want the pinned build", got, err)
	}
	if err := pin(&schedulerv1.PinBuildRequest{BuildId: "-done", Unpin: true}); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	b.isExpired("-done")
}

func TestPoliciesThatAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	for name, p := range map[string]*schedulerv1.RetentionPolicy{
		"a minute": {MaxAgeSeconds: 60}, "negative": {MaxAgeSeconds: -1}, "a thousand years": {MaxAgeSeconds: 1000 * 365 * 24 * 3600},
		"overflow": {MaxAgeSeconds: 1 << 62}, "builds": {MaxBuilds: -1}, "bytes": {MaxBytes: 1 << 61},
		"farm bytes of a project": {Project: "p", FarmBytes: 1}, "workers of a project": {Project: "p", WorkerAgeSeconds: 7200},
		"a project's name": {Project: "a\nb"}, "an age without a build": {KeepLastSeconds: 7200},
	} {
		_, err := ask[schedulerv1.SetRetentionResponse](b, "set_retention", &schedulerv1.SetRetentionRequest{Policy: p})
		if !errors.Is(err, build.ErrInvalid) {
			t.Errorf("%s: %v, want that it is invalid", name, err)
		}
	}
}

// TestFloodOfLogsStopsNoHandOut: a bus that log lines fill up goes on to hand out builds.
func TestFloodOfLogsStopsNoHandOut(t *testing.T) {
	t.Parallel()
	const storage = 64 << 20
	b := setupWith(t, databasetest.Open(t, databasetest.SQLite(t)), bustest.StartWith(t, storage), testConfig())
	w := b.worker(1, "ios")
	chunk := make([]byte, 512<<10)
	for range 2 * storage / len(chunk) {
		if _, err := b.js.Publish(t.Context(), bus.LogSubject(w, "chatty", 1), chunk); err != nil {
			t.Fatalf("a log line is refused: %v", err)
		}
	}
	v := b.submit("app", "ios", 0)
	if m := b.fetch("ios"); !strings.Contains(m.Subject(), v.GetId()) {
		t.Errorf("hand-out %s, want that of %s", m.Subject(), v.GetId())
	}
	b.mustClaim(w, v.GetId())
	if got := b.events(v.GetId()); !slices.Equal(got, []string{"submitted", "queued", "assigned"}) {
		t.Errorf("events = %v", got)
	}
}
