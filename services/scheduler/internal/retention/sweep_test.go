package retention_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func equal(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got\n%s", what, diff)
	}
}

// TestRetention runs the stories on both databases.
func TestRetention(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(*testing.T, *farm){
		"a farm without a policy keeps everything": keepsEverything, "builds expire by age": expiresByAge,
		"a change waits":                         changeWaits,
		"a removed policy gives way after a day": removedPolicyWaits,
		"a pin that comes during a sweep":        latePin,
		"a repack that comes during a sweep":     lateRepack,
		"the last of each branch stays":          lastOfBranchStays,
		"figures of workers stay":                figuresStay,
		"absent workers are forgotten":           forgetsWorkers,
		"a trace ends":                           traceEnds,
		"one build that cannot be cleaned":       oneStubbornBuild,
		"a service that is away":                 serviceAway,
		"two sweepers":                           twoSweepers,
		"a new farm is seeded once":              seeds,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databasetest.Each(t, func(t *testing.T, open databasetest.Opener) { story(t, setup(t, open)) })
		})
	}
}

func keepsEverything(t *testing.T, f *farm) {
	f.add(ended{id: "b1", age: 1000 * day})
	f.sweep()
	equal(t, "builds", []string{"b1"}, f.left())
}

func expiresByAge(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day})
	f.set(retention.Policy{Project: "long", MaxAge: 300 * day})
	f.add(ended{id: "old", age: 31 * day}, ended{id: "new", age: 29 * day}, ended{id: "own", project: "long", age: 31 * day},
		ended{id: "runs", state: "building"}, ended{id: "pinned", age: 31 * day})
	if err := f.Pin(t.Context(), "pinned", retention.Pin{At: start, Note: "release 1.0"}); err != nil {
		t.Fatal(err)
	}
	f.sweep()
	equal(t, "builds", []string{"new", "own", "pinned", "runs"}, f.left())
	equal(t, "cleaned", []string{"old"}, f.cleaned)
	trace, err := f.Trace(t.Context(), "old")
	if err != nil || trace.Rule != retention.RuleAge || trace.State != "completed" || !trace.ExpiredAt.Equal(start) ||
		trace.Policy != "the farm's policy (builds are kept for 30d)" {
		t.Errorf("Trace = %+v, %v", trace, err)
	}
	if _, err := f.Trace(t.Context(), "new"); !errors.Is(err, build.ErrNotFound) {
		t.Errorf("Trace of a build that is there: %v", err)
	}
	st, err := f.Status(t.Context())
	if err != nil || st.Last.Builds != 1 || st.Last.Bytes != 100 || st.Cleaning != 0 || st.Expired != 1 || st.Pinned != 1 {
		t.Errorf("Status = %+v, %v", st, err)
	}
}

func changeWaits(t *testing.T, f *farm) {
	f.add(ended{id: "b1", age: 31 * day}, ended{id: "b2", project: "other", age: 31 * day})
	f.set(retention.Policy{MaxAge: 30 * day})
	p := retention.Policy{Project: "p", MaxAge: 20 * day, SetAt: start, EffectiveAt: start.Add(day)}
	if err := f.SetPolicy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	f.sweep()
	equal(t, "builds of the project that waits", []string{"b1"}, f.left())
	f.clock = start.Add(day)
	f.sweep()
	equal(t, "builds after a day", nil, f.left())
}

func removedPolicyWaits(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day})
	f.set(retention.Policy{Project: "p"})
	f.add(ended{id: "b1", age: 31 * day})
	if err := f.RemovePolicy(t.Context(), "p", start, start.Add(day)); err != nil {
		t.Fatal(err)
	}
	f.sweep()
	equal(t, "builds", []string{"b1"}, f.left())
	f.clock = start.Add(day)
	f.sweep()
	equal(t, "builds after a day", nil, f.left())
	equal(t, "policies", []string{""}, f.strings(`SELECT project FROM retention_policies`))
}

// latePin pins a build that the plan names already.
func latePin(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day})
	f.add(ended{id: "b1", age: 31 * day}, ended{id: "b2", age: 32 * day})
	ps, err := f.Policies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var planned []retention.Candidate
	if err := f.Plan(t.Context(), ps, f.clock, hour, func(c retention.Candidate) bool { planned = append(planned, c); return true }); err != nil {
		t.Fatal(err)
	}
	if err := f.Pin(t.Context(), "b1", retention.Pin{At: start}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Expire(t.Context(), ps, planned, f.clock); err != nil {
		t.Fatal(err)
	}
	equal(t, "builds", []string{"b1"}, f.left())
	if err := f.Unpin(t.Context(), "b1"); err != nil {
		t.Fatal(err)
	}
	f.set(retention.Policy{MaxAge: 60 * day})
	if gone, err := f.Expire(t.Context(), ps, planned, f.clock); err != nil || len(gone) != 0 {
		t.Errorf("Expire by a policy that was changed = %v, %v", gone, err)
	}
}

// lateRepack has a build repacked from one that the plan names already.
func lateRepack(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day})
	f.add(ended{id: "b1", age: 31 * day}, ended{id: "b2", age: 32 * day})
	ps, err := f.Policies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var planned []retention.Candidate
	if err := f.Plan(t.Context(), ps, f.clock, hour, func(c retention.Candidate) bool { planned = append(planned, c); return true }); err != nil {
		t.Fatal(err)
	}
	f.add(ended{id: "new", state: "building"}, ended{id: "done"})
	f.exec(`UPDATE builds SET repack_from = 'b1' WHERE id = 'new'`)
	f.exec(`UPDATE builds SET repack_from = 'b2' WHERE id = 'done'`)
	if _, err := f.Expire(t.Context(), ps, planned, f.clock); err != nil {
		t.Fatal(err)
	}
	equal(t, "builds", []string{"b1", "done", "new"}, f.left())
	f.exec(`UPDATE builds SET state = 'failed', finished_at = $1 WHERE id = 'new'`, f.clock.UnixMilli())
	f.sweep()
	equal(t, "builds when it has ended", []string{"done", "new"}, f.left())
}

func lastOfBranchStays(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day, KeepLast: true, KeepLastAge: 100 * day})
	f.add(
		ended{id: "a1", branch: "main", age: 60 * day}, ended{id: "a2", branch: "main", age: 50 * day},
		ended{id: "a3", branch: "main", age: 40 * day, state: "failed"},
		ended{id: "b1", branch: "feature", age: 101 * day}, ended{id: "c1", branch: "old", age: 99 * day},
	)
	f.sweep()
	equal(t, "builds", []string{"a2", "c1"}, f.left())
}

func figuresStay(t *testing.T, f *farm) {
	f.worker("w", 1, 0)
	f.set(retention.Policy{MaxAge: 30 * day})
	f.add(ended{id: "b1", age: 31 * day}, ended{id: "b2", age: 31 * day, state: "failed"}, ended{id: "b3", age: 31 * day})
	f.sweep()
	if done, failed, err := f.Ended(t.Context(), "w"); err != nil || done != 2 || failed != 1 {
		t.Errorf("Ended = %d, %d, %v, want 2, 1", done, failed, err)
	}
	if n, err := f.CompletedSince(t.Context(), start.Add(-40*day)); err != nil || n != 2 {
		t.Errorf("CompletedSince = %d, %v, want 2", n, err)
	}
}

func forgetsWorkers(t *testing.T, f *farm) {
	f.worker("gone", 0, 91*day)
	f.worker("holds", 0, 91*day)
	f.worker("there", 1, 91*day)
	f.worker("lately", 0, 89*day)
	f.exec(`INSERT INTO expired_attempts (worker_id, completed, failed) VALUES ('gone', 1, 1), ('there', 1, 1)`)
	f.add(ended{id: "b1", state: "building", worker: "holds"})
	f.set(retention.Policy{WorkerAge: 90 * day})
	f.sweep()
	equal(t, "workers", []string{"holds", "lately", "there"}, f.strings(`SELECT id FROM workers ORDER BY id`))
	equal(t, "told", []string{"gone"}, f.workers)
	f.sweep()
	equal(t, "figures", []string{"there"}, f.strings(`SELECT worker_id FROM expired_attempts`))
}

func traceEnds(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day})
	f.add(ended{id: "b1", age: 31 * day})
	f.sweep()
	f.clock = start.Add(f.cfg.Trace)
	f.sweep()
	equal(t, "traces", []string{"b1"}, f.traces())
	f.clock = start.Add(f.cfg.Trace + time.Second)
	f.sweep()
	equal(t, "traces", nil, f.traces())
	equal(t, "forgotten", []string{"b1"}, f.forgotten)
}

// oneStubbornBuild: the others do not wait for it, and nothing new expires until somebody has looked.
func oneStubbornBuild(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day})
	f.add(ended{id: "b1", age: 33 * day}, ended{id: "b2", age: 32 * day}, ended{id: "b3", age: 31 * day})
	f.fail = func(id string) error {
		if id == "b2" {
			return errors.New("access denied")
		}
		return nil
	}
	if err := f.sweeper().Round(t.Context()); err == nil {
		t.Error("Round = nil, want the fault")
	}
	if err := f.sweeper().Round(t.Context()); err == nil {
		t.Error("second Round = nil, want the fault")
	}
	equal(t, "cleaned", []string{"b1", "b3"}, sorted(f.cleaned))
	f.fail = nil
	f.sweep()
	equal(t, "cleaned", []string{"b1", "b2", "b3"}, sorted(f.cleaned))
	if st, err := f.Status(t.Context()); err != nil || st.Cleaning != 0 || st.Last.Error != "" {
		t.Errorf("Status = %+v, %v", st, err)
	}
}

func serviceAway(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day})
	for i := range 50 {
		f.add(ended{id: "b" + string(rune('A'+i)), age: 31 * day})
	}
	f.fail = func(string) error { return build.ErrUnavailable }
	for range 3 {
		if err := f.sweeper().Round(t.Context()); !errors.Is(err, build.ErrUnavailable) {
			t.Errorf("Round = %v, want that a service is away", err)
		}
	}
	if n := len(f.traces()); n != 20 {
		t.Errorf("%d builds expired while their bytes could not be deleted, want one batch of 20", n)
	}
	f.fail = nil
	f.sweep()
	equal(t, "builds", nil, f.left())
	if n := len(f.cleaned); n != 50 {
		t.Errorf("%d builds cleaned, want 50", n)
	}
}

// twoSweepers run at once again and again; each build is expired once.
func twoSweepers(t *testing.T, f *farm) {
	f.set(retention.Policy{MaxAge: 30 * day})
	for i := range 100 {
		f.add(ended{id: "b" + string(rune('A'+i/10)) + string(rune('0'+i%10)), age: 31 * day})
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := f.sweeper().Round(t.Context()); err != nil {
				t.Errorf("Round: %v", err)
			}
		})
	}
	all.Wait()
	equal(t, "builds", nil, f.left())
	if n := len(f.cleaned); n != 100 {
		t.Errorf("%d builds cleaned, want each of 100 once", n)
	}
}

func seeds(t *testing.T, f *farm) {
	p := f.cfg.Seed
	p.SetAt, p.EffectiveAt = start, start.Add(day)
	for i, want := range []bool{true, false} {
		if got, err := f.Seed(t.Context(), p); err != nil || got != want {
			t.Errorf("Seed %d = %v, %v, want %v", i, got, err, want)
		}
	}
	if ps, err := f.Policies(t.Context()); err != nil || ps.Farm != p {
		t.Errorf("Policies = %+v, %v, want the seed", ps, err)
	}
}

// TestSweepCrashes stops a sweep after each of its steps in turn; the next sweep comes to the same end.
func TestSweepCrashes(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setup(t, open)
		f.cfg.Trace = 0
		f.set(retention.Policy{MaxAge: 30 * day})
		crash := errors.New("crash")
		for n := 1; ; n++ {
			f.exec(`DELETE FROM expired_builds`)
			f.cleaned, f.forgotten = nil, nil
			for i := range 45 {
				f.add(ended{id: "b" + string(rune('A'+i)), age: 31 * day})
			}
			crashed := f.crashAt(n, crash)
			f.clock = f.clock.Add(hour) // the lease of the dead one is over
			f.sweep()
			f.clock = f.clock.Add(hour)
			f.sweep()
			if left, traces := f.left(), f.traces(); len(left)+len(traces) != 0 {
				t.Fatalf("crash at step %d: builds %v and traces %v are left", n, left, traces)
			}
			for what, told := range map[string][]string{"cleaned": f.cleaned, "forgotten": f.forgotten} {
				if all := distinct(told); all != 45 {
					t.Fatalf("crash at step %d: %d builds %s, want 45", n, all, what)
				}
			}
			if !crashed {
				if n < 10 {
					t.Errorf("only %d steps were tried", n)
				}
				return
			}
		}
	})
}

// crashAt runs a sweeper that dies at its n-th step, without a word to the database; false if it had fewer.
func (f *farm) crashAt(n int, crash error) bool {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	s := f.sweeper()
	steps := 0
	s.SetFault(func(string) error {
		if steps++; steps == n {
			cancel()
			return crash
		}
		return nil
	})
	err := s.Round(ctx)
	if err != nil && !errors.Is(err, crash) {
		f.t.Fatal(err)
	}
	if err != nil { // Round gives its lease back in an orderly stop; a dead process does not
		f.exec(`UPDATE retention_state SET held_until = $1`, f.clock.Add(2*minute).UnixMilli())
	}
	return err != nil
}

func distinct(ids []string) int {
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	return len(seen)
}

// TestExistingFarmIsNotSeeded: a farm that has builds keeps them until a policy is set.
func TestExistingFarmIsNotSeeded(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := open(t)
		migrateTo(t, db, 6)
		err := db.WithTx(t.Context(), func(tx *database.Tx) error { return insert(t.Context(), tx, ended{id: "b1", age: 1000 * day}, start) })
		if err != nil {
			t.Fatal(err)
		}
		f := setup(t, func(testing.TB) *database.DB { return db })
		if seeded, err := f.Seed(t.Context(), f.cfg.Seed); err != nil || seeded {
			t.Errorf("Seed = %v, %v, want false", seeded, err)
		}
	})
}
