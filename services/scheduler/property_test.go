package scheduler

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestAnyCommandsInAnyOrder is invariants 1 and 2 of docs/architecture.md: whatever is asked by whomever, repeated, late or at
// the same moment, a build never has two live attempts nor two ends. More: go test -run AnyCommands -rapid.checks=1000.
func TestAnyCommandsInAnyOrder(t *testing.T) {
	t.Parallel()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue { // 100, which takes a minute with the race detector
		if err := f.Value.Set("40"); err != nil {
			t.Fatal(err)
		}
	}
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		stored := serveArtifacts(t, b.srv)
		workers := []string{b.worker(2), b.worker(1, "ios"), b.worker(2, "android")}
		rapid.Check(t, func(rt *rapid.T) {
			w := &chaos{bundle: b, rt: rt, stored: stored, workers: workers, ends: map[string]string{}}
			for range rapid.IntRange(5, 15).Draw(rt, "commands") {
				w.act()
				w.invariants()
			}
			w.endAll()
			w.histories()
		})
	})
}

// chaos is one sequence of commands.
type chaos struct {
	*bundle

	rt      *rapid.T
	stored  *artifacts
	workers []string
	builds  []string

	// ends is the final state that each build was first seen in.
	ends map[string]string
}

// act is one command, or two at the same moment.
func (w *chaos) act() {
	if len(w.builds) == 0 || len(w.builds) < 3 && rapid.IntRange(0, 5).Draw(w.rt, "submit") == 0 {
		platform := rapid.SampledFrom([]string{"ios", "android"}).Draw(w.rt, "platform")
		w.builds = append(w.builds, w.submit("app", platform, 0).GetId())
		return
	}
	commands := []func() error{w.command()}
	if rapid.Bool().Draw(w.rt, "at once") {
		commands = append(commands, w.command())
	}
	errs := make([]error, len(commands))
	var wg sync.WaitGroup
	for i, c := range commands {
		wg.Go(func() { errs[i] = c() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && build.Code(err) == build.CodeInternal {
			w.rt.Fatalf("not a refusal: %v", err)
		}
	}
}

// command draws who asks what of which build. The attempt may be past or to come, the worker a stranger.
func (w *chaos) command() func() error {
	ctx := w.t.Context()
	id := rapid.SampledFrom(w.builds).Draw(w.rt, "build")
	now := w.build(id)
	attempt := max(1, now.GetAttempt()+rapid.SampledFrom([]int32{0, 0, 0, 0, -1, 1}).Draw(w.rt, "attempt"))
	worker := rapid.SampledFrom(append([]string{now.GetWorkerId()}, w.workers...)).Draw(w.rt, "worker")
	if worker == "" {
		worker = w.workers[0]
	}
	finish := func(o schedulerv1.FinishRequest_Outcome) func() error {
		r := &schedulerv1.FinishRequest{BuildId: id, Attempt: attempt, Outcome: o}
		if o == completed {
			r.ResultObjectId = w.stored.store(id, attempt)
		}
		return func() error {
			_, err := w.Finish(ctx, worker, r)
			return err
		}
	}
	commands := map[string]func() error{
		"claim": func() error {
			resp, err := w.Claim(ctx, worker, &schedulerv1.ClaimRequest{BuildId: id, Attempt: attempt})
			if err == nil && resp.GetBuild().GetAttempt() != attempt {
				return fmt.Errorf("attempt %d was claimed and %v was given", attempt, resp.GetBuild())
			}
			return err
		},
		"stage": func() error {
			_, err := w.Stage(ctx, worker, &schedulerv1.StageRequest{BuildId: id, Attempt: attempt, Stage: "install"})
			return err
		},
		"complete": finish(completed), "fail": finish(failed), "break": finish(infra), "hand back": finish(handed),
		"cancel": func() error {
			_, err := w.Cancel(ctx, &schedulerv1.CancelRequest{BuildId: id})
			return err
		},
		"stalled":   func() error { return w.loseLease(ctx, id, attempt, "silent") },
		"release":   func() error { return w.dispatch.Round(ctx) },
		"reconcile": func() error { return w.queue.Reconcile(ctx) },
		"restart": func() error {
			_, err := w.Sync(ctx, worker, &schedulerv1.SyncRequest{Fresh: true})
			return err
		},
	}
	// What brings a build on is drawn more often, or few would get anywhere.
	names := append(slices.Sorted(maps.Keys(commands)), "release", "claim", "claim", "stage", "release", "claim")
	return commands[rapid.SampledFrom(names).Draw(w.rt, "command")]
}

func (w *chaos) build(id string) *schedulerv1.Build { return w.get(id).GetBuild() }

func (w *chaos) get(id string) *schedulerv1.GetResponse {
	resp, err := w.Get(w.t.Context(), &schedulerv1.GetRequest{BuildId: id})
	if err != nil {
		w.rt.Fatalf("Get: %v", err)
	}
	return resp
}

// invariants looks at SQL after each command.
func (w *chaos) invariants() {
	for _, id := range w.builds {
		resp := w.get(id)
		b := resp.GetBuild()
		state := build.State(b.GetState())
		running := 0
		for _, a := range resp.GetAttempts() {
			if a.GetOutcome() != string(store.Running) {
				continue
			}
			if running++; a.GetNumber() != b.GetAttempt() || a.GetWorkerId() != b.GetWorkerId() || !state.Leased() {
				w.rt.Fatalf("attempt %d of %s runs while the build is %v", a.GetNumber(), id, b)
			}
		}
		if running > 1 || state.Leased() && running != 1 {
			w.rt.Fatalf("build %v has %d live attempts: %v", b, running, resp.GetAttempts())
		}
		if was := w.ends[id]; was != "" && was != b.GetState() {
			w.rt.Fatalf("build %s was %s and is %s", id, was, b.GetState())
		}
		if state.Final() {
			w.ends[id] = b.GetState()
		}
		if (state == build.Completed) != (b.GetResult() != nil) {
			w.rt.Fatalf("build %v: a result and completion go together", b)
		}
	}
}

// histories replays what the world was told of each build: every event must be possible after those before it.
func (w *chaos) histories() {
	possible := map[bus.Event][]build.State{
		bus.Submitted: {""},
		bus.Queued:    {build.Pending, build.Queued}, // again after a withdrawal, of which nobody is told
		bus.Assigned:  {build.Queued},
		bus.Started:   {build.Assigned},
		bus.Stage:     {build.Building},
		bus.Completed: {build.Assigned, build.Building},
		bus.Failed:    {build.Assigned, build.Building},
		bus.Retried:   {build.Assigned, build.Building},
		bus.Cancelled: {build.Pending, build.Queued, build.Assigned, build.Building},
	}
	after := map[bus.Event]build.State{
		bus.Submitted: build.Pending, bus.Queued: build.Queued, bus.Assigned: build.Assigned, bus.Started: build.Building,
		bus.Stage: build.Building, bus.Completed: build.Completed, bus.Failed: build.Failed, bus.Retried: build.Pending,
		bus.Cancelled: build.Cancelled,
	}
	for _, id := range w.builds {
		var state build.State
		history := w.events(id)
		for _, name := range history {
			e := bus.Event(name)
			if !slices.Contains(possible[e], state) {
				w.rt.Fatalf("%s in state %q of build %s: %v", e, state, id, history)
			}
			state = after[e]
		}
		if now := build.State(w.build(id).GetState()); now != state {
			w.rt.Fatalf("build %s is %s, its events say %s: %v", id, now, state, history)
		}
	}
}

// endAll cancels what has not ended and wants BUILD_QUEUE to offer nothing then. The next sequence begins with free slots.
func (w *chaos) endAll() {
	ctx := w.t.Context()
	for _, id := range w.builds {
		if _, err := w.Cancel(ctx, &schedulerv1.CancelRequest{BuildId: id}); err != nil && build.Code(err) == build.CodeInternal {
			w.rt.Fatal(err)
		}
	}
	w.invariants()
	stream, err := w.js.Stream(ctx, bus.QueueStream)
	if err != nil {
		w.rt.Fatal(err)
	}
	// A hand-out may still be on its way out of the outbox when the build is cancelled: reconciling takes it back.
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(bus.QueueSubjects("*", "*")))
		if err != nil {
			w.rt.Fatal(err)
		}
		if info.State.Msgs == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.rt.Fatalf("still on offer: %v", info.State.Subjects)
		}
	}
}
