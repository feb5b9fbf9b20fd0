package scheduler

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/faults"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// poison makes the database refuse a row of the table when the condition holds, whatever is tried: as it refuses NUL, or as a
// constraint of ours would.
func poison(t *testing.T, db *database.DB, table, event, condition string) {
	t.Helper()
	statements := []string{`CREATE TRIGGER poison BEFORE ` + event + ` ON ` + table + ` WHEN ` + condition +
		` BEGIN SELECT RAISE(ABORT, 'poisoned'); END`}
	if db.Dialect() == database.PostgreSQL {
		statements = []string{
			`CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$`,
			`CREATE TRIGGER poison BEFORE ` + event + ` ON ` + table + ` FOR EACH ROW WHEN (` + condition + `) EXECUTE FUNCTION poison()`,
		}
	}
	for _, q := range statements {
		err := db.WithTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.ExecContext(t.Context(), q)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// askAs asks over the bus, as the worker does.
func (b *bundle) askAs(worker, verb string, req, resp proto.Message) error {
	b.t.Helper()
	return rpc.Call(b.t.Context(), b.nc, bus.WorkerRequestSubject("scheduler", verb, worker), req, resp)
}

// TestFaultsEndTheAttempt: what cannot be recorded, however often it is said, ends the attempt after bounded tries. The build
// gets another one, and fails after the last.
func TestFaultsEndTheAttempt(t *testing.T) {
	t.Parallel()
	finish := func(b *bundle, worker, id string, attempt int32) error {
		return b.askAs(worker, "finish", &schedulerv1.FinishRequest{
			BuildId: id, Attempt: attempt, Outcome: schedulerv1.FinishRequest_OUTCOME_FAILED, Error: "a poison",
		}, &schedulerv1.FinishResponse{})
	}
	stage := func(b *bundle, worker, id string, attempt int32) error {
		return b.askAs(worker, "stage", &schedulerv1.StageRequest{BuildId: id, Attempt: attempt, Stage: "poison"}, &schedulerv1.StageResponse{})
	}
	claim := func(b *bundle, worker, id string, attempt int32) error {
		return b.askAs(worker, "claim", &schedulerv1.ClaimRequest{BuildId: id, Attempt: attempt}, &schedulerv1.ClaimResponse{})
	}
	for name, tt := range map[string]struct {
		table, event, condition string
		claimed                 bool
		say                     func(*bundle, string, string, int32) error
	}{
		"finish": {"attempts", "UPDATE", "NEW.error LIKE '%poison%'", true, finish},
		"stage":  {"builds", "UPDATE", "NEW.stage = 'poison'", true, stage},
		"claim":  {"builds", "UPDATE", "NEW.state = 'assigned'", false, claim},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
				db := open(t)
				b := setupWith(t, db, bustest.Start(t), testConfig())
				worker := b.worker(1, "ios")
				poison(t, db, tt.table, tt.event, tt.condition)
				v := b.submit("p", "ios", 0)
				for attempt := int32(1); attempt <= b.cfg.MaxAttempts; attempt++ {
					b.state(v.GetId(), build.Queued)
					if tt.claimed {
						b.mustClaim(worker, v.GetId())
					}
					tries := 0
					var err error
					for err = tt.say(b, worker, v.GetId(), attempt); err != nil && !errors.Is(err, build.ErrLeaseLost); err = tt.say(b, worker, v.GetId(), attempt) {
						if tries++; tries > 2*faults.Max {
							t.Fatalf("attempt %d goes on after %d tries: %v", attempt, tries, err)
						}
					}
					if err == nil {
						t.Fatal("the poison was taken")
					}
				}
				last := b.state(v.GetId(), build.Failed)
				if !strings.Contains(last.GetError(), "could not be recorded") {
					t.Errorf("error = %q", last.GetError())
				}
			})
		})
	}
}

// TestFaultyBuildDoesNotBlockPolls: a build that can be given to no worker, for a reason that no repeat heals, fails after bounded
// tries, and workers that poll are given the other builds meanwhile.
func TestFaultyBuildDoesNotBlockPolls(t *testing.T) {
	t.Parallel()
	for name, native := range map[string]bool{"pending": false, "queued": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
				db := open(t)
				b := setupWith(t, db, bustest.Start(t), testConfig())
				poison(t, db, "builds", "UPDATE", "NEW.state = 'assigned' AND NEW.project = 'poison'")
				if native { // it claims nothing, but builds are put on offer for it
					b.worker(2, "ios")
				}
				broken := b.submit("poison", "ios", 5)
				if native {
					b.state(broken.GetId(), build.Queued)
				}
				for range 3 {
					sound, w := b.submit("app", "ios", 0), b.poller("ios")
					if id := b.poll(w); id != sound.GetId() {
						t.Fatalf("poll gave %q, want %s", id, sound.GetId())
					}
				}
				b.failsByFault(broken.GetId(), func() {
					if id := b.poll(b.poller("ios")); id != "" {
						t.Fatalf("poll gave %s, want nothing", id)
					}
				})
			})
		})
	}
}

// TestFaultyBuildDoesNotBlockOffers: a build that cannot be put on offer fails after bounded tries, and those of its batch are offered.
func TestFaultyBuildDoesNotBlockOffers(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := open(t)
		b := setupWith(t, db, bustest.Start(t), testConfig())
		poison(t, db, "builds", "UPDATE", "NEW.state = 'queued' AND NEW.project = 'poison'")
		broken, sound := b.submit("poison", "ios", 5), b.submit("app", "ios", 0)
		b.worker(2, "ios")
		b.state(sound.GetId(), build.Queued)
		b.failsByFault(broken.GetId(), b.machine.Signal.Changed)
	})
}

// failsByFault repeats try until the build has failed because of internal errors.
func (b *bundle) failsByFault(id string, try func()) {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(time.Minute); ; {
		try()
		resp, err := b.Get(b.t.Context(), &schedulerv1.GetRequest{BuildId: id})
		if err != nil {
			b.t.Fatal(err)
		}
		v := resp.GetBuild()
		if v.GetState() == string(build.Failed) {
			if want := "could not be"; v.GetAttempt() != b.cfg.MaxAttempts || !strings.Contains(v.GetError(), want) {
				b.t.Errorf("build failed at attempt %d with %q, want %d and %q", v.GetAttempt(), v.GetError(), b.cfg.MaxAttempts, want)
			}
			return
		}
		if time.Now().After(until) {
			b.t.Fatalf("build is still %s at attempt %d", v.GetState(), v.GetAttempt())
		}
		<-tick.C
	}
}

// oddText is a text that a database, a protobuf message or a terminal may not take.
func oddText(r *rand.Rand) string {
	pieces := []string{"ä", "€", "😀", "\x00", "\xff", "\xe2\x82", "\xed\xa0\x80", "\x1b[31m", "\r\n", "a", "\u2028", "\ufeff", "'", `"`, "%", `\`}
	var s strings.Builder
	for range r.IntN(12) {
		s.WriteString(strings.Repeat(pieces[r.IntN(len(pieces))], 1+r.IntN(2000)))
	}
	return s.String()
}

// TestOddWords: whatever text comes in any field, an attempt is never stuck for it: the request is packed and answered, or refused
// as invalid. A long error in a script of many bytes to a character is cut between two of them.
func TestOddWords(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		r := rand.New(rand.NewPCG(1, 2))
		judge := func(what string, err error) bool {
			t.Helper()
			if code := rpc.Code(err); err != nil && (code == build.CodeInternal || code == build.Code(build.ErrUnavailable)) {
				t.Errorf("%s: %v", what, err)
			}
			return err == nil
		}
		for range 60 {
			worker := build.NewID()
			judge("register_worker", rpc.Call(t.Context(), b.nc, bus.RequestSubject("scheduler", "register_worker"), &schedulerv1.RegisterWorkerRequest{
				WorkerId: worker, Name: oddText(r), Platforms: []string{"ios", oddText(r)}, Slots: 1, Labels: map[string]string{oddText(r): oddText(r)},
			}, &schedulerv1.RegisterWorkerResponse{}))
			judge("submit", rpc.Call(t.Context(), b.nc, bus.RequestSubject("scheduler", "submit"), &schedulerv1.SubmitRequest{
				BuildId: build.NewID(), Project: oddText(r), Profile: oddText(r), Platform: "ios", Pool: "other", Notes: []string{oddText(r)},
				Source: &eventsv1.ObjectRef{ObjectId: build.NewID(), Name: oddText(r)}, Origin: &schedulerv1.Origin{Branch: oddText(r)},
			}, &schedulerv1.SubmitResponse{}))
			judge("list", rpc.Call(t.Context(), b.nc, bus.RequestSubject("scheduler", "list"), &schedulerv1.ListRequest{
				Project: oddText(r), States: []string{oddText(r)}, WorkerId: oddText(r),
			}, &schedulerv1.ListResponse{}))

			worker = b.worker(1, "ios")
			v := b.submit("p", "ios", 0)
			b.mustClaim(worker, v.GetId())
			judge("stage", b.askAs(worker, "stage", &schedulerv1.StageRequest{BuildId: v.GetId(), Attempt: 1, Stage: text.Cut(oddText(r), 64)}, &schedulerv1.StageResponse{}))
			why := strings.ToValidUTF8(oddText(r), "?") // the worker sees to that; NUL is the scheduler's to clean
			finish := &schedulerv1.FinishRequest{BuildId: v.GetId(), Attempt: 1, Outcome: schedulerv1.FinishRequest_OUTCOME_FAILED, Error: why}
			if !judge("finish", b.askAs(worker, "finish", finish, &schedulerv1.FinishResponse{})) {
				continue
			}
			var got schedulerv1.GetResponse
			if !judge("get", rpc.Call(t.Context(), b.nc, bus.RequestSubject("scheduler", "get"), &schedulerv1.GetRequest{BuildId: v.GetId()}, &got)) {
				continue
			}
			if b := got.GetBuild(); b.GetState() != string(build.Failed) || !text.Valid(b.GetError()) || len(b.GetError()) > maxError {
				t.Errorf("build = %s with an error of %d bytes", b.GetState(), len(b.GetError()))
			}
		}
	})
}
