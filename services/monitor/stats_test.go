package monitor

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/stats"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// history is a random life of many builds: its events, and what a recount of the builds says.
type history struct {
	events []bus.Message
	days   map[string]*monitorv1.DayStats
	times  map[string][]int64 // durations in milliseconds by what
	busy   map[string]int64
}

func (h *history) day(at int64) *monitorv1.DayStats {
	d := time.UnixMilli(at).UTC().Format(time.DateOnly)
	if h.days[d] == nil {
		h.days[d] = &monitorv1.DayStats{Day: d}
	}
	return h.days[d]
}

func (h *history) tell(t *testing.T, id string, e bus.Event, fact proto.Message) {
	t.Helper()
	m, err := bus.NewMessage(t.Context(), "scheduler", bus.BuildSubject(id, e), time.Now(), fact)
	if err != nil {
		t.Fatal(err)
	}
	h.events = append(h.events, m)
}

// live plays one build from its submit to its end.
func (h *history) live(t *testing.T, r *rand.Rand, id, project string, at int64) {
	t.Helper()
	after := func() int64 { at += 1 + r.Int64N(10*60*1000); return at }
	submitted := at
	h.tell(t, id, bus.Submitted, &eventsv1.BuildSubmitted{BuildId: id, Project: project, SubmittedAtMs: submitted})
	h.day(submitted).Submitted++
	for attempt := int32(1); ; attempt++ {
		worker := fmt.Sprint("mac", r.IntN(3))
		assigned := after()
		h.tell(t, id, bus.Assigned, &eventsv1.BuildAssigned{
			BuildId: id, Attempt: attempt, WorkerId: worker, Project: project, SubmittedAtMs: submitted, AssignedAtMs: assigned,
		})
		if attempt == 1 {
			h.times["wait"] = append(h.times["wait"], assigned-submitted)
		}
		stage, since := "", int64(0)
		for _, next := range []string{"prepare", "install", "pods", "archive"}[:1+r.IntN(4)] {
			now := after()
			h.tell(t, id, bus.Stage, &eventsv1.BuildStageChanged{
				BuildId: id, Attempt: attempt, Project: project, Stage: next, AtMs: now, EndedStage: stage, EndedStageAtMs: since,
			})
			if stage != "" {
				h.times["stage:"+stage] = append(h.times["stage:"+stage], now-since)
			}
			stage, since = next, now
		}
		end := after()
		h.busy[worker] += end - assigned
		life := &eventsv1.Life{Project: project, SubmittedAtMs: submitted, AssignedAtMs: assigned, Stage: stage, StageAtMs: since}
		switch x := r.IntN(10); {
		case x < 2 && attempt < 3:
			h.tell(t, id, bus.Retried, &eventsv1.BuildRetried{BuildId: id, LostAttempt: attempt, WorkerId: worker, Project: project, AssignedAtMs: assigned, AtMs: end})
			h.day(end).LostAttempts++
			continue
		case x < 3:
			h.tell(t, id, bus.Cancelled, &eventsv1.BuildCancelled{BuildId: id, WorkerId: worker, FinishedAtMs: end, Life: life})
			h.day(end).Cancelled++
			return
		case x < 5:
			h.tell(t, id, bus.Failed, &eventsv1.BuildFailed{BuildId: id, WorkerId: worker, FinishedAtMs: end, Life: life})
			h.day(end).Failed++
		default:
			h.tell(t, id, bus.Completed, &eventsv1.BuildCompleted{BuildId: id, WorkerId: worker, FinishedAtMs: end, Life: life})
			h.day(end).Completed++
		}
		h.times["build"] = append(h.times["build"], end-assigned)
		h.times["stage:"+stage] = append(h.times["stage:"+stage], end-since)
		return
	}
}

// check compares with the recount: counts and means exactly, quantiles to a tenth.
func (h *history) check(t *testing.T, b *bundle, from, to, project string) {
	t.Helper()
	var got *monitorv1.StatsResponse
	want := 0
	for _, d := range h.days {
		want += int(d.GetSubmitted() + d.GetCompleted() + d.GetFailed() + d.GetCancelled() + d.GetLostAttempts())
	}
	b.eventually("all counted", func() bool {
		var err error
		if got, err = b.Stats(t.Context(), &monitorv1.StatsRequest{FromDay: from, ToDay: to, Project: project}); err != nil {
			t.Fatal(err)
		}
		x := got.GetTotal()
		return int(x.GetSubmitted()+x.GetCompleted()+x.GetFailed()+x.GetCancelled()+x.GetLostAttempts()) >= want &&
			x.GetQueueWait().GetCount() >= int64(len(h.times["wait"])) && x.GetDuration().GetCount() >= int64(len(h.times["build"]))
	})
	for _, d := range got.GetDays() {
		only := &monitorv1.DayStats{
			Day: d.GetDay(), Submitted: d.GetSubmitted(), Completed: d.GetCompleted(), Failed: d.GetFailed(), Cancelled: d.GetCancelled(),
			LostAttempts: d.GetLostAttempts(),
		}
		counted := h.days[d.GetDay()]
		if counted == nil {
			counted = &monitorv1.DayStats{Day: d.GetDay()}
		}
		if diff := cmp.Diff(counted, only, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-recount +figures): %s", d.GetDay(), diff)
		}
	}
	h.spread(t, "build", got.GetTotal().GetDuration())
	h.spread(t, "wait", got.GetTotal().GetQueueWait())
	stages := 0
	for _, s := range got.GetStages() {
		h.spread(t, "stage:"+s.GetStage(), s.GetDuration())
		stages++
	}
	if stages != 4 {
		t.Errorf("%d stages, want 4", stages)
	}
	busy := map[string]int64{}
	for _, w := range got.GetWorkers() {
		busy[w.GetWorkerId()] = w.GetBusyMs()
	}
	if diff := cmp.Diff(h.busy, busy); diff != "" {
		t.Errorf("busy (-recount +figures): %s", diff)
	}
}

func (h *history) spread(t *testing.T, what string, got *monitorv1.Spread) {
	t.Helper()
	all := slices.Sorted(slices.Values(h.times[what]))
	sum := int64(0)
	for _, x := range all {
		sum += x
	}
	if got.GetCount() != int64(len(all)) || got.GetMeanMs() != sum/int64(len(all)) {
		t.Errorf("%s: %v, want %d of mean %d", what, got, len(all), sum/int64(len(all)))
		return
	}
	for q, ms := range map[float64]int64{0.5: got.GetP50Ms(), 0.95: got.GetP95Ms()} {
		exact := all[int(math.Ceil(q*float64(len(all))))-1]
		if r := float64(ms) / float64(exact); r < 0.9 || r > 1.1 {
			t.Errorf("%s: quantile %v = %d, want %d", what, q, ms, exact)
		}
	}
}

// TestFiguresEqualARecount of random lives, whatever happens to the monitor: it is stopped midway, two count at once, and
// everything is told again.
func TestFiguresEqualARecount(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		h := &history{days: map[string]*monitorv1.DayStats{}, times: map[string][]int64{}, busy: map[string]int64{}}
		base := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
		for i := range 150 {
			h.live(t, r, fmt.Sprint("b", i), "app", base.UnixMilli()+r.Int64N(2*24*3600*1000))
		}
		other := &history{days: map[string]*monitorv1.DayStats{}, times: map[string][]int64{}, busy: map[string]int64{}}
		other.live(t, r, "x", "other", base.UnixMilli()) // is not mixed up with app
		half := len(h.events) / 2
		publish := func(msgs []bus.Message) {
			t.Helper()
			if _, err := bus.PublishAll(t.Context(), b.js, msgs); err != nil {
				t.Fatal(err)
			}
		}
		publish(append(slices.Clone(other.events), h.events[:half]...))
		b.stop()
		two := setupWith(t, b.db, b.srv, testConfig())
		setupWith(t, b.db, b.srv, testConfig())
		publish(h.events[half:])
		from, to := base.Format(time.DateOnly), base.AddDate(0, 0, 5).Format(time.DateOnly)
		h.check(t, two, from, to, "app")
		// All is told again: from the stream's beginning, and by a scheduler that forgot that it told.
		if err := two.js.DeleteConsumer(t.Context(), bus.EventsStream, stats.Durable); err != nil {
			t.Fatal(err)
		}
		last := &eventsv1.BuildSubmitted{BuildId: "last", Project: "last", SubmittedAtMs: base.UnixMilli()}
		h.tell(t, "last", bus.Submitted, last)
		publish(h.events[len(h.events)-1:])
		two.eventually("the last", func() bool {
			s, err := two.Stats(t.Context(), &monitorv1.StatsRequest{FromDay: from, ToDay: to, Project: "last"})
			return err == nil && s.GetTotal().GetSubmitted() == 1
		})
		h.check(t, two, from, to, "app")
		// And counted anew from nothing. (The events' own days are before the stream's first message: those stay.)
		if err := two.store.Stats.Forget(t.Context(), base); err != nil {
			t.Fatal(err)
		}
		if _, err := two.RebuildStats(t.Context(), &monitorv1.RebuildStatsRequest{}); err != nil {
			t.Fatal(err)
		}
		h.check(t, two, from, to, "app")
	})
}

func TestStatsRefusesOddDays(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	for _, days := range [][2]string{{"", ""}, {"2026-11-26", "2026-11-25"}, {"2020-01-01", "2026-01-01"}, {"yesterday", "today"}} {
		_, err := b.Stats(t.Context(), &monitorv1.StatsRequest{FromDay: days[0], ToDay: days[1]})
		if !errors.Is(err, build.ErrInvalid) {
			t.Errorf("Stats(%v) = %v, want %v", days, err, build.ErrInvalid)
		}
	}
	today, err := b.Today(t.Context(), &monitorv1.TodayRequest{})
	if err != nil || today.GetCompleted() != 0 {
		t.Errorf("Today = %v, %v", today, err)
	}
}

// TestARebuildKeepsWhatTheStreamForgot: figures of a day of which events are gone stay as they are.
func TestARebuildKeepsWhatTheStreamForgot(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	now := time.Now().UTC()
	tell := func(id string, at time.Time) {
		b.tell(bus.BuildSubject(id, bus.Submitted), &eventsv1.BuildSubmitted{BuildId: id, SubmittedAtMs: at.UnixMilli()})
	}
	submitted := func() int64 {
		s, err := b.Stats(t.Context(), &monitorv1.StatsRequest{FromDay: now.AddDate(0, 0, -1).Format(time.DateOnly), ToDay: now.Format(time.DateOnly)})
		if err != nil {
			t.Fatal(err)
		}
		return s.GetTotal().GetSubmitted()
	}
	tell("old", now.AddDate(0, 0, -1))
	tell("new", now)
	b.eventually("both", func() bool { return submitted() == 2 })
	s, err := b.js.Stream(t.Context(), bus.EventsStream)
	if err == nil {
		err = s.DeleteMsg(t.Context(), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.RebuildStats(t.Context(), &monitorv1.RebuildStatsRequest{}); err != nil {
		t.Fatal(err)
	}
	tell("newer", now)
	b.eventually("all three", func() bool { return submitted() == 3 })
}

// TestARebuildUnderWayIsSaid: whoever asks for a second one, before the events are read anew, is told so.
func TestARebuildUnderWayIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	now := time.Now().UTC()
	b.tell(bus.BuildSubject("b1", bus.Submitted), &eventsv1.BuildSubmitted{BuildId: "b1", Project: "app", SubmittedAtMs: now.UnixMilli()})
	b.eventually("a rebuild refuses the next one", func() bool { // on a busy machine one is over before the next is asked for
		resp, err := b.RebuildStats(t.Context(), &monitorv1.RebuildStatsRequest{})
		if err != nil && !errors.Is(err, build.ErrRebuilding) {
			t.Fatalf("a rebuild = %v, want %v", err, build.ErrRebuilding)
		}
		if day := resp.GetFromDay(); err == nil && day != now.Format(time.DateOnly) {
			t.Fatalf("a rebuild begins with %q, want today", day)
		}
		return build.Code(err) == "rebuild_in_progress"
	})
	b.eventually("it ends", func() bool {
		_, err := b.RebuildStats(t.Context(), &monitorv1.RebuildStatsRequest{})
		return err == nil
	})
}

// TestARebuildWithoutEventsForgetsNothing: figures outlive their events, and without any there is nothing to count them from.
func TestARebuildWithoutEventsForgetsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	today := time.Now().UTC().Format(time.DateOnly)
	if resp, err := b.RebuildStats(t.Context(), &monitorv1.RebuildStatsRequest{}); err != nil || resp.GetFromDay() != "" {
		t.Errorf("rebuild of an empty farm = %v, %v, want no day", resp, err)
	}
	b.tell(bus.BuildSubject("b1", bus.Submitted), &eventsv1.BuildSubmitted{BuildId: "b1", Project: "app", SubmittedAtMs: time.Now().UnixMilli()})
	submitted := func() int64 {
		s, err := b.Stats(t.Context(), &monitorv1.StatsRequest{FromDay: today, ToDay: today})
		if err != nil {
			t.Fatal(err)
		}
		return s.GetTotal().GetSubmitted()
	}
	b.eventually("the figures", func() bool { return submitted() == 1 })
	s, err := b.js.Stream(t.Context(), bus.EventsStream)
	if err == nil {
		err = s.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := b.RebuildStats(t.Context(), &monitorv1.RebuildStatsRequest{}); err != nil || resp.GetFromDay() != "" || submitted() != 1 {
		t.Errorf("rebuild without events = %v, %v, and %d builds are left; want no day and 1", resp, err, submitted())
	}
}
