package order

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

var (
	ios   = store.Lane{Pool: "default", Platform: build.IOS}
	epoch = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
)

func waiting(seq int64, project string, priority int32, p build.Platform) store.Build {
	return store.Build{
		Seq: seq, ID: fmt.Sprint("b", seq), Project: project, Priority: priority, Platform: p, Pool: "default", Attempt: 1,
		SubmittedAt: epoch,
	}
}

func macs(slots, held int, platforms ...build.Platform) store.Group {
	return store.Group{Pool: "default", Platforms: platforms, Workers: 1, Slots: slots, Free: slots - held}
}

func constant(d time.Duration) func(store.Build) time.Duration {
	return func(store.Build) time.Duration { return d }
}

func world(pending []store.Build, workers ...store.Group) World {
	w := World{Now: epoch, Workers: workers, Cost: constant(10 * time.Minute), Pending: map[store.Lane][]store.Build{}}
	for _, b := range pending {
		w.Pending[b.Lane()] = append(w.Pending[b.Lane()], b)
	}
	return w
}

func seqs(builds []store.Build) []int64 {
	var all []int64
	for _, b := range builds {
		all = append(all, b.Seq)
	}
	return all
}

func TestChoose(t *testing.T) { //nolint:funlen // a table
	t.Parallel()
	many := []store.Build{
		waiting(1, "big", 0, build.IOS), waiting(2, "big", 0, build.IOS), waiting(3, "big", 0, build.IOS),
		waiting(4, "small", 0, build.IOS), waiting(5, "big", 0, build.IOS),
	}
	with := func(w World, change func(*World)) World {
		change(&w)
		return w
	}
	tests := []struct {
		name string
		w    World
		want []int64
	}{
		{"nobody is there", world(many), nil},
		{"nobody can do it", world(many, macs(4, 0, build.Android)), nil},
		{"free slots and the window", world(many[:3], macs(1, 0)), []int64{1, 2}},
		{"busy: only the window", world(many[:3], macs(1, 1)), []int64{1}},
		{"what is on offer counts", with(world(many[:3], macs(1, 0)), func(w *World) { w.Queued = map[store.Lane]int{ios: 2} }), nil},
		{"projects alternate", world(many, macs(2, 0)), []int64{1, 4, 2}},
		{
			"a project with a share waits",
			with(world(many, macs(1, 1)), func(w *World) { w.Live = map[store.Lane]map[string]int{ios: {"big": 1}} }),
			[]int64{4},
		},
		{
			"equal shares: the least served goes first",
			with(world(many, macs(1, 1)), func(w *World) {
				w.Tags = map[store.Lane]Tags{ios: {Virtual: 20, Finish: map[string]float64{"big": 30, "small": 20}}}
			}),
			[]int64{4},
		},
		{
			"idleness is no credit",
			with(world(many, macs(3, 0)), func(w *World) {
				w.Tags = map[store.Lane]Tags{ios: {Virtual: 500, Finish: map[string]float64{"big": 510}}}
			}),
			[]int64{4, 1, 2, 3},
		},
		{
			"priority goes before fairness",
			with(world([]store.Build{waiting(6, "big", 5, build.IOS), waiting(4, "small", 0, build.IOS)}, macs(1, 1)), func(w *World) {
				w.Live = map[store.Lane]map[string]int{ios: {"big": 9}}
			}),
			[]int64{6},
		},
		{
			"lanes are apart",
			world([]store.Build{waiting(1, "a", 0, build.IOS), waiting(2, "a", 0, build.Android)}, macs(1, 0, build.Android)),
			[]int64{2},
		},
		{
			"a project at its limit is passed over",
			with(world(many, macs(4, 0)), func(w *World) { w.Rules.Projects = map[string]Project{"big": {MaxRunning: 1}} }),
			[]int64{1, 4},
		},
		{
			"a pool at its limit waits",
			with(world(many, macs(4, 0)), func(w *World) {
				w.Rules.Pools = map[string]Pool{"default": {MaxRunning: 3}}
				w.Live = map[store.Lane]map[string]int{ios: {"other": 2}}
			}),
			[]int64{1},
		},
		{
			"a weight of three is three builds for one",
			with(world(many, macs(3, 0)), func(w *World) { w.Rules.Projects = map[string]Project{"big": {Weight: 3 * DefaultWeight}} }),
			[]int64{1, 4, 2, 3},
		},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, seqs(Choose(tt.w))); diff != "" {
			t.Errorf("%s: Choose (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestLaterAttemptsArePaidFor(t *testing.T) {
	t.Parallel()
	again := waiting(1, "a", 0, build.IOS)
	again.Attempt, again.VStart, again.VFinish = 2, 3, 13
	got := Choose(world([]store.Build{again}, macs(1, 0)))
	if len(got) != 1 || got[0].VStart != 3 || got[0].VFinish != 13 {
		t.Errorf("Choose of a second attempt = %+v, want its tags unchanged", got)
	}
}

// farm runs the rule on fixed slots: what was chosen starts at once and ends after its duration.
type farm struct {
	World

	slots   int
	running []store.Build
	ends    []time.Time
	started []store.Build
	// observe sees the farm after each start.
	observe func()
}

func newFarm(slots int, pending []store.Build) *farm {
	f := &farm{World: world(pending), slots: slots}
	f.Tags = map[store.Lane]Tags{ios: {Finish: map[string]float64{}}}
	return f
}

// step starts one build if a slot is free, else lets the next one end; false when all are done.
func (f *farm) step(took func(store.Build) time.Duration) bool {
	if len(f.running) < f.slots {
		f.Live = map[store.Lane]map[string]int{ios: f.live()}
		chosen := Candidates(f.World, func(store.Lane) bool { return true }, 1)
		if len(chosen) == 1 {
			f.start(chosen[0], took(chosen[0]))
			return true
		}
	}
	if len(f.running) == 0 {
		return false
	}
	first := 0
	for i := range f.ends {
		if f.ends[i].Before(f.ends[first]) {
			first = i
		}
	}
	f.Now = f.ends[first]
	f.running, f.ends = slices.Delete(f.running, first, first+1), slices.Delete(f.ends, first, first+1)
	return true
}

// run starts so many builds, each of a minute.
func (f *farm) run(starts int) {
	for len(f.started) < starts {
		f.step(constant(time.Minute))
	}
}

func (f *farm) start(b store.Build, took time.Duration) {
	f.Pending[ios] = slices.DeleteFunc(slices.Clone(f.Pending[ios]), func(o store.Build) bool { return o.ID == b.ID })
	tags := f.Tags[ios]
	tags.Virtual = max(tags.Virtual, b.VStart)
	tags.Finish[b.Project] = max(tags.Finish[b.Project], b.VFinish)
	f.Tags[ios] = tags
	f.running, f.ends, f.started = append(f.running, b), append(f.ends, f.Now.Add(took)), append(f.started, b)
	if f.observe != nil {
		f.observe()
	}
}

func (f *farm) live() map[string]int {
	live := map[string]int{}
	for _, b := range f.running {
		live[b.Project]++
	}
	return live
}

func backlog(projects, each int) []store.Build {
	var all []store.Build
	for p := range projects {
		for range each {
			all = append(all, waiting(int64(len(all)+1), fmt.Sprint("p", p+1), 0, build.IOS))
		}
	}
	return all
}

// TestMoreProjectsThanSlots is a team of five projects that submit all their builds one project after the other.
func TestMoreProjectsThanSlots(t *testing.T) {
	t.Parallel()
	f := newFarm(2, backlog(5, 12))
	f.run(60)
	first := map[string]int{}
	for i, b := range f.started {
		if _, seen := first[b.Project]; !seen {
			first[b.Project] = i + 1
		}
	}
	if want := map[string]int{"p1": 1, "p2": 2, "p3": 3, "p4": 4, "p5": 5}; !cmp.Equal(first, want) {
		t.Errorf("first starts by project = %v, want %v", first, want)
	}
	f = newFarm(10, backlog(5, 200))
	f.run(400)
	counts := map[string]int{}
	for _, b := range f.started {
		counts[b.Project]++
	}
	if want := map[string]int{"p1": 80, "p2": 80, "p3": 80, "p4": 80, "p5": 80}; !cmp.Equal(counts, want) {
		t.Errorf("the first 400 starts = %v, want %v", counts, want)
	}
}

// TestFairShareOfSlotTime draws projects with durations and weights of their own, and holds each pair of projects that wait all
// along to the bound of start-time fair queueing: the slot time that they were given, by weight, differs by at most one build of each.
func TestFairShareOfSlotTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		slots := rapid.IntRange(1, 6).Draw(rt, "slots")
		projects := rapid.IntRange(1, 9).Draw(rt, "projects")
		took, weights := map[string]time.Duration{}, map[string]Project{}
		for p := range projects {
			name := fmt.Sprint("p", p+1)
			took[name] = time.Duration(rapid.IntRange(1, 30).Draw(rt, "minutes")) * time.Minute
			weights[name] = Project{Weight: int32(rapid.SampledFrom([]int{5, 10, 20}).Draw(rt, "weight"))}
		}
		f := newFarm(slots, backlog(projects, 120))
		f.Rules.Projects = weights
		f.Cost = func(b store.Build) time.Duration { return took[b.Project] }
		for len(f.started) < 120 { // so that nobody runs out
			f.step(f.Cost)
		}
		got := map[string]float64{}
		for _, b := range f.started {
			got[b.Project] += took[b.Project].Minutes() / f.Rules.weight(b.Project)
		}
		unit := func(p string) float64 { return took[p].Minutes() / f.Rules.weight(p) }
		for a := range got {
			for b := range got {
				slack := unit(a) + unit(b) + 1e-6
				if got[a]-got[b] > slack {
					rt.Fatalf("%s got %.1f and %s got %.1f minutes by weight, more than %.1f apart\ntook %v weights %v slots %d",
						a, got[a], b, got[b], slack, took, weights, slots)
				}
			}
		}
	})
}

// TestNobodyStarves: whatever the others submit, a build of low priority runs within a bounded time of its submission.
func TestNobodyStarves(t *testing.T) {
	t.Parallel()
	low := waiting(1, "low", -5, build.IOS)
	f := newFarm(1, []store.Build{low})
	f.Rules.AgeEvery = 10 * time.Minute
	seq := int64(1)
	for f.Now.Sub(epoch) < 5*time.Hour {
		if len(f.Pending[ios]) < 3 { // somebody always submits more, with high priority
			seq++
			b := waiting(seq, fmt.Sprint("rush", seq%2), 5, build.IOS)
			b.SubmittedAt = f.Now
			f.Pending[ios] = append(f.Pending[ios], b)
		}
		f.step(constant(time.Minute))
		if slices.ContainsFunc(f.started, func(b store.Build) bool { return b.ID == low.ID }) {
			if waited := f.Now.Sub(epoch); waited < 90*time.Minute || waited > 110*time.Minute {
				t.Errorf("it waited %s, want about 10 steps of 10 minutes", waited)
			}
			return
		}
	}
	t.Error("a build of low priority never started")
}

func TestAgeChangesNothingAmongEquals(t *testing.T) {
	t.Parallel()
	old := []store.Build{waiting(1, "big", 0, build.IOS), waiting(2, "big", 0, build.IOS)}
	fresh := waiting(3, "small", 0, build.IOS)
	fresh.SubmittedAt = epoch.Add(5 * time.Hour)
	w := world(append(old, fresh), macs(1, 0))
	w.Rules.AgeEvery, w.Now = 10*time.Minute, epoch.Add(5*time.Hour)
	w.Live = map[store.Lane]map[string]int{ios: {"big": 1}}
	if got := seqs(Choose(w)); !cmp.Equal(got, []int64{3, 1}) {
		t.Errorf("Choose = %v, want the small project's fresh build before the big one's old ones", got)
	}
}
