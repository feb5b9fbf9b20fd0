package worker_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestRefusalsOfAClaim(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		gone bool
	}{
		"cancelled": {build.ErrFinished, true}, "taken": {build.ErrTaken, true}, "withdrawn": {build.ErrNotQueued, true},
		"unknown": {build.ErrNotFound, true}, "lost": {build.ErrLeaseLost, true},
		"no slot": {build.ErrNoSlot, false}, "not eligible": {build.ErrNotEligible, false}, "broken": {errors.New("x"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			var claims atomic.Int32
			f.onClaim = func(string, *schedulerv1.ClaimRequest) error {
				if claims.Add(1) == 1 {
					return tt.err
				}
				return nil
			}
			f.start(f.fake(""), nil)
			id := f.submit(app(t))
			if tt.gone {
				f.eventually("the hand-out is acknowledged", func() bool { return f.queued() == 0 })
				f.finished(f.submit(app(t)))
				return
			}
			f.finished(id)
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	failed, infra := schedulerv1.FinishRequest_OUTCOME_FAILED, schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE
	for name, tt := range map[string]struct {
		fake    string
		source  func(*testing.T) []byte
		arrange func(*farm)
		outcome schedulerv1.FinishRequest_Outcome
		want    string
	}{
		"the stage": {fake: "fail", outcome: failed, want: "export failed with exit code 1: Error: the fake build was told to fail"},
		"not an archive": {
			source: func(*testing.T) []byte { return []byte("hello, this is no archive at all") }, outcome: failed, want: "source archive: ",
		},
		"a path that leads out": {
			source: func(t *testing.T) []byte { return project(t, "../../evil", "x") }, outcome: failed, want: "unsafe archive entry",
		},
		"too slow": {fake: "hang", arrange: func(f *farm) { f.timeout = time.Second }, outcome: failed, want: "timed out after 1s"},
		"the source is not what was submitted": {
			arrange: func(f *farm) {
				f.onClaim = func(_ string, r *schedulerv1.ClaimRequest) error {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.objects[r.GetBuildId()][0] ^= 0xff
					return nil
				}
			}, outcome: failed, want: "submit the app again",
		},
		"the store is full": {
			arrange: func(f *farm) {
				f.onHTTP = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodPut {
						w.WriteHeader(http.StatusInsufficientStorage)
					}
					return r.Method == http.MethodPut
				}
			}, outcome: infra, want: "upload the result, 4 tries",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			if tt.arrange != nil {
				tt.arrange(f)
			}
			source := app(t)
			if tt.source != nil {
				source = tt.source(t)
			}
			f.start(f.fake(tt.fake), nil)
			id := f.submit(source)
			got := f.finished(id)
			if got.GetOutcome() != tt.outcome || !strings.Contains(got.GetError(), tt.want) {
				t.Errorf("finish = %v, want %v with %q", got, tt.outcome, tt.want)
			}
			if log := f.logOf(id); !strings.Contains(log, tt.want) {
				t.Errorf("the log does not say %q:\n%s", tt.want, log)
			}
		})
	}
}

func TestTransfersAreRepeated(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	var puts, gets atomic.Int32
	f.onHTTP = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodPut && puts.Add(1) <= 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		case r.Method == http.MethodGet && gets.Add(1) == 1:
			panic(http.ErrAbortHandler) // the line breaks
		}
		return false
	}
	f.start(f.fake(""), nil)
	if got := f.finished(f.submit(app(t))); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
		t.Errorf("finish = %v, want completed", got)
	}
}

func TestFinishIsRepeatedUntilAnswered(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	var n atomic.Int32
	f.onFinish = func(*schedulerv1.FinishRequest) error {
		if n.Add(1) <= 3 {
			return build.ErrUnavailable
		}
		return nil
	}
	f.start(f.fake(""), nil)
	f.finished(f.submit(app(t)))
}

func TestALostLeaseEndsTheBuildAndNothingIsSaid(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*farm, *agent, string, string){
		"told by a stage":  func(f *farm, _ *agent, _, _ string) {},
		"told by an order": func(f *farm, _ *agent, holder, id string) { f.control(holder, cancelOrder(id)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			f.onFinish = func(*schedulerv1.FinishRequest) error { t.Error("a finish was told"); return nil }
			knobs := "hang,stage=install"
			if name == "told by a stage" {
				knobs = "hang"
				f.onStage = func(r *schedulerv1.StageRequest) error {
					if r.GetStage() == "export" {
						return build.ErrLeaseLost
					}
					return nil
				}
			}
			a := f.start(f.fake(knobs), nil)
			id := f.submit(app(t))
			f.inStage(id, "install")
			holder := f.await(id, "held", func(b *farmBuild) bool { return b.holder != "" }).holder
			lose(f, a, holder, id)
			f.eventually("the log says so", func() bool { return strings.Contains(f.logOf(id), "stopped: ") })
			// The slot is free again.
			f.onFinish = nil
			f.onStage = nil
			next := f.submit(app(t))
			f.inStage(next, "install")
			a.Release()
		})
	}
}

func TestTheBusGoesAndComes(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.fake("slow=3s,lines=300"), func(c *worker.Config) { c.Slots = 2 })
	kept, lost := f.submit(app(t)), f.submit(app(t))
	f.inStage(kept, "install")
	f.inStage(lost, "install")
	var syncs atomic.Int32
	f.mu.Lock()
	f.onSync = func(r *schedulerv1.SyncRequest) []*schedulerv1.Lease {
		syncs.Add(1)
		if r.GetFresh() || len(r.GetHolding()) != 2 {
			return nil
		}
		return []*schedulerv1.Lease{{BuildId: lost, Attempt: 1}}
	}
	f.mu.Unlock()
	f.restart()
	if got := f.finished(kept); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
		t.Errorf("finish = %v, want completed", got)
	}
	if n := strings.Count(f.logOf(kept), "step "); n != 600 {
		t.Errorf("the log has %d lines of the stages, want 600", n)
	}
	b := f.await(lost, "there", func(*farmBuild) bool { return true })
	if b.finish != nil || !strings.Contains(f.logOf(lost), "stopped: the lease is lost") {
		t.Errorf("the lost build: finish %v, log %q", b.finish, f.logOf(lost))
	}
	f.finished(f.submit(app(t)))
}

// TestRefusedForGood: an outcome or a stage that the scheduler refuses, and would refuse for ever, becomes a failure of the
// infrastructure, and the worker goes on with other builds.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	infra := schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE
	refuseFinish := func(err error) func(*farm) {
		return func(f *farm) {
			f.onFinish = func(r *schedulerv1.FinishRequest) error {
				if r.GetOutcome() == infra {
					return nil
				}
				return err
			}
		}
	}
	for name, tt := range map[string]struct {
		fake    string
		arrange func(*farm)
		want    string
	}{
		"the failure, as invalid":    {"fail", refuseFinish(build.ErrInvalid), "the outcome was not accepted: "},
		"the failure, without cause": {"fail", refuseFinish(errors.New("x")), "the outcome was not accepted: "},
		"the result, as too large":   {"", refuseFinish(build.ErrTooLarge), "the result was not accepted: "},
		"a stage, as invalid": {"slow=1m", func(f *farm) {
			f.onStage = func(*schedulerv1.StageRequest) error { return build.ErrInvalid }
		}, "the stage prepare was not accepted: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			tt.arrange(f)
			f.start(f.fake(tt.fake), nil)
			id := f.submit(app(t))
			f.within(time.Minute, "the attempt has ended", func() bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				return f.builds[id].finish != nil
			})
			if got := f.finished(id); got.GetOutcome() != infra || !strings.Contains(got.GetError(), tt.want) {
				t.Errorf("finish = %v, want %v with %q", got, infra, tt.want)
			}
		})
	}
}

// TestEverythingRefused: the attempt ends, and its slot is free.
func TestEverythingRefused(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	var broken string
	f.onFinish = func(r *schedulerv1.FinishRequest) error {
		if r.GetBuildId() == broken {
			return build.ErrInvalid
		}
		return nil
	}
	broken = f.submit(app(t))
	f.start(f.fake(""), nil)
	f.finished(f.submit(app(t))) // the worker has one slot
}
