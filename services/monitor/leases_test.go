package monitor

import (
	"slices"
	"testing"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestSilenceIsFoundByExpiry: the verdict comes within a second of the key's expiry, once, and names the attempt.
func TestSilenceIsFoundByExpiry(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		b.lifetimes(1) // the verdicts that a start holds are over
		var late []time.Duration
		var stalled []string
		for range 3 {
			id := build.NewID()
			sub := b.listen(bus.BuildSubject(id, bus.Stalled))
			b.assign(id, 2)
			last := b.beatLease(id, 2, short)
			e := b.stalled(sub)
			late = append(late, time.Since(last)-short)
			if e.GetBuildId() != id || e.GetAttempt() != 2 || e.GetWorkerId() != holder || e.GetSilentSinceMs() == 0 {
				t.Errorf("stalled = %v", e)
			}
			b.forgotten(id)
			stalled = append(stalled, id)
		}
		slices.Sort(late)
		// The median, because a busy machine may hold up any one of them.
		if late[1] < 0 || late[1] > time.Second {
			t.Errorf("found %v after the expiry, want within 1s", late)
		}
		b.lifetimes(1)
		for _, id := range stalled {
			if n := b.count(bus.BuildSubject(id, bus.Stalled)); n != 1 {
				t.Errorf("stalled %d times, want once", n)
			}
		}
	})
}

// TestWorkerThatNeverBeats: there is no key that could expire.
func TestWorkerThatNeverBeats(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		sub := b.listen(bus.BuildSubject("b1", bus.Stalled))
		b.assigned("b1", 1)
		if e := b.stalled(sub); e.GetAttempt() != 1 || e.GetStage() != string(build.StagePrepare) {
			t.Errorf("stalled = %v", e)
		}
	})
}

func TestHealthyIsNeverStalled(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		b.healthy("b1", 1)
		b.assign("b1", 1)
		b.lifetimes(4)
		b.silent("b1")
		b.watched("b1", func(l *store.Lease) bool { return l != nil })
	})
}

// TestStageChangeRenews: prepare's TTL is short, compile's is not, and no beat has said so yet.
func TestStageChangeRenews(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.assign("b1", 1)
	b.stage("b1", 1, build.StageCompile)
	b.watched("b1", func(l *store.Lease) bool { return l != nil && l.TTL == long && l.Stage == string(build.StageCompile) })
	b.lifetimes(2)
	b.silent("b1")
}

// TestBeatBringsItsOwnTTL: a project's stage may be allowed more silence than ours.
func TestBeatBringsItsOwnTTL(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.assign("b1", 1)
	b.beatLease("b1", 1, time.Minute)
	b.watched("b1", func(l *store.Lease) bool { return l != nil && l.TTL == time.Minute && l.Stage == "install" })
	b.lifetimes(1)
	b.silent("b1")
}

// TestTTLOfABeatIsBounded: a worker cannot forbid verdicts on itself for years.
func TestTTLOfABeatIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.assign("b1", 1)
	b.beat(bus.LeaseKey(holder, "b1", 1), ttl, &eventsv1.Heartbeat{WorkerId: holder, BuildId: "b1", Attempt: 1, TtlSeconds: 1 << 30})
	b.watched("b1", func(l *store.Lease) bool { return l == nil || l.TTL == store.MaxTTL })
}

func TestEndedIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	ends := map[string]func(id string){
		"completed": func(id string) { b.completed(id, 1) },
		"failed": func(id string) {
			b.tell(bus.BuildSubject(id, bus.Failed), &eventsv1.BuildFailed{BuildId: id, Attempt: 1})
		},
		"cancelled": func(id string) {
			b.tell(bus.BuildSubject(id, bus.Cancelled), &eventsv1.BuildCancelled{BuildId: id, Attempt: 1})
		},
		"retried": func(id string) {
			b.tell(bus.BuildSubject(id, bus.Retried), &eventsv1.BuildRetried{BuildId: id, LostAttempt: 1, NextAttempt: 2})
		},
	}
	for id, end := range ends {
		b.assign(id, 1)
		b.beatLease(id, 1, short)
		end(id)
		b.forgotten(id)
	}
	b.lifetimes(1) // the keys of all have expired, and nobody cared
	for id := range ends {
		b.silent(id)
	}
}

// TestEventsOfThePastAreHarmless: whatever is heard again, or late, about an attempt that is over, the lease of the next one
// stands and is watched.
func TestEventsOfThePastAreHarmless(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		retried := &eventsv1.BuildRetried{BuildId: "b1", LostAttempt: 1, NextAttempt: 2}
		b.assigned("b1", 1)
		b.tell(bus.BuildSubject("b1", bus.Retried), retried)
		b.healthy("b1", 2)
		b.assign("b1", 2)
		b.assigned("b1", 1)
		b.stage("b1", 1, build.StageCompile)
		b.tell(bus.BuildSubject("b1", bus.Retried), retried)
		b.completed("b1", 1)
		b.assigned("b1", 2)
		b.tell(bus.BuildSubject("b1", bus.Stage), &eventsv1.BuildStageChanged{}) // nobody's
		b.lifetimes(1)
		b.silent("b1")
		b.watched("b1", func(l *store.Lease) bool { return l != nil && l.Attempt == 2 })
	})
}

// TestGarbageOnTheEventStream: what cannot be read is dropped, what follows is heard.
func TestGarbageOnTheEventStream(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	if _, err := b.js.Publish(t.Context(), bus.BuildSubject("b1", bus.Assigned), []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	b.assign("b2", 1)
}

// TestForgedHeartbeatIsNoLife: what another worker made land on a key (an acknowledgement of its own, say) keeps nothing alive.
func TestForgedHeartbeatIsNoLife(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.lifetimes(1)
	sub := b.listen(bus.BuildSubject("b1", bus.Stalled))
	b.assign("b1", 1)
	b.beatRaw(bus.LeaseKey(holder, "b1", 1), long, []byte(`{"stream":"BUILD_LOGS","seq":1}`))
	b.stalled(sub)
}

// TestDeletedKeyIsLookedAt: a worker that takes its key away says so itself.
func TestDeletedKeyIsLookedAt(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	b.lifetimes(1)
	sub := b.listen(bus.BuildSubject("b1", bus.Stalled))
	b.assign("b1", 1)
	b.beatLease("b1", 1, long)
	kv, err := b.js.KeyValue(t.Context(), bus.HeartbeatBucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), bus.LeaseKey(holder, "b1", 1)); err != nil {
		t.Fatal(err)
	}
	b.stalled(sub)
}

func sqlite(tb testing.TB) *database.DB {
	tb.Helper()
	return databasetest.Open(tb, databasetest.SQLite(tb))
}
