package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Neighbors are the other services, which hold parts of builds and workers. Each call may be repeated.
type Neighbors interface {
	// Clean deletes what they hold of expired builds and returns how many bytes that frees.
	Clean(ctx context.Context, buildIDs []string) (bytes int64, err error)
	// Forget deletes the last that names expired builds: events, keys, tokens.
	Forget(ctx context.Context, buildIDs []string) error
	// ForgetWorkers deletes what they hold of workers.
	ForgetWorkers(ctx context.Context, workerIDs []string) error
	// Measure returns the bytes that they store for builds.
	Measure(ctx context.Context, buildIDs []string) (int64, error)
}

const (
	// batch bounds the builds of one transaction, and of one request to another service: a fraction of a second's work.
	batch = 20
	// maxPlan bounds what one look at the plan takes.
	maxPlan = 2000
	// shortLease and longLease bound how long a sweeper that died keeps others from sweeping.
	shortLease, longLease = time.Second, 10 * time.Second
	// announceEvery is how often the log says that a policy is about to take effect.
	announceEvery = 6 * time.Hour
)

// Sweeper removes what expires. Make it with NewSweeper and run it once.
type Sweeper struct {
	cfg       Config
	store     *Store
	neighbors Neighbors
	log       *slog.Logger
	now       func() time.Time
	holder    string
	lease     time.Duration
	woken     backoff.Waker
	// round is held by the round that runs: the lease is this sweeper's, and would let two in.
	round     sync.Mutex
	announced time.Time
	// fault is called before each step; tests stop there.
	fault func(step string) error
}

// NewSweeper returns a sweeper.
func NewSweeper(cfg Config, st *Store, n Neighbors, now func() time.Time, log *slog.Logger) *Sweeper {
	return &Sweeper{
		cfg: cfg, store: st, neighbors: n, log: log, now: now, holder: build.NewID(),
		lease: min(max(cfg.Every, shortLease), longLease), woken: backoff.NewWaker(),
		fault: func(string) error { return nil },
	}
}

// Wake has the next sweep begin now.
func (s *Sweeper) Wake() { s.woken.Wake() }

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	return backoff.Loop{Doing: "retention sweep", Every: s.cfg.Every, Wake: s.woken.C(), AtOnce: true, Log: s.log}.Run(ctx, s.Round)
}

// sweep is one round.
type sweep struct {
	*Sweeper
	Sweep

	policies Policies
}

// Round sweeps once, unless another scheduler does.
func (s *Sweeper) Round(ctx context.Context) error {
	s.round.Lock()
	defer s.round.Unlock()
	now := s.now()
	if won, err := s.store.Acquire(ctx, s.holder, now, now.Add(s.lease)); !won || err != nil {
		return err
	}
	w := &sweep{Sweeper: s, Sweep: Sweep{BeganAt: now}}
	held, release := s.hold(ctx)
	err := w.run(held)
	release()
	w.EndedAt = s.now()
	if err != nil {
		w.Error = "the sweep stopped early; the scheduler's log says why"
	}
	if ctx.Err() != nil { // another scheduler need not wait for the lease's end
		ctx = context.WithoutCancel(ctx)
	}
	err = errors.Join(err, s.store.Record(ctx, s.holder, w.Sweep, true))
	if w.Builds > 0 || w.Workers > 0 {
		s.log.InfoContext(ctx, "retention sweep done", "builds", w.Builds, "bytes", w.Bytes, "workers", w.Workers, "took", w.EndedAt.Sub(w.BeganAt))
	}
	return err
}

// run first finishes what an earlier sweep began, so that bytes are freed before more builds go.
func (w *sweep) run(ctx context.Context) (err error) {
	if err := w.store.Settle(ctx, w.now()); err != nil {
		return err
	}
	if w.policies, err = w.store.Policies(ctx); err != nil {
		return err
	}
	w.announce(ctx)
	if err := errors.Join(w.clean(ctx), w.forget(ctx), w.store.ForgetFigures(ctx)); err != nil {
		return err
	}
	if err := w.expire(ctx); err != nil {
		return err
	}
	return w.forgetWorkers(ctx)
}

// errTaken ends a sweep whose lease another scheduler has taken.
var errTaken = errors.New("another scheduler sweeps")

// hold renews the lease until it is released. The context that it returns ends when the lease is lost.
func (s *Sweeper) hold(ctx context.Context) (held context.Context, release func()) {
	held, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for backoff.Sleep(held, s.lease/3) == nil {
			now := s.now()
			switch won, err := s.store.Acquire(held, s.holder, now, now.Add(s.lease)); {
			case err != nil && held.Err() == nil:
				s.log.WarnContext(held, "renew lease of the retention sweep failed", "err", err)
			case err == nil && !won:
				cancel(errTaken)
			}
		}
	}()
	return held, func() { cancel(nil); <-ended }
}

// announce says in the log that something is about to expire for the first time by a policy.
func (w *sweep) announce(ctx context.Context) {
	now := w.now()
	begins := w.policies.Pending(now)
	if begins.IsZero() || now.Sub(w.announced) < announceEvery {
		return
	}
	w.announced = now
	w.log.WarnContext(ctx, "retention policy takes effect soon; see freeagent retention plan", "at", begins)
}

// expire takes what the policies let go, batch by batch.
func (w *sweep) expire(ctx context.Context) error {
	for {
		var found []Candidate
		err := w.store.Plan(ctx, w.policies, w.now(), w.cfg.MinAge, func(c Candidate) bool {
			found = append(found, c)
			return len(found) < maxPlan
		})
		if err != nil {
			return err
		}
		before := w.Builds
		for rest := found; len(rest) > 0; {
			some := rest[:min(len(rest), batch)]
			rest = rest[len(some):]
			if err := w.expireSome(ctx, some); err != nil {
				return err
			}
		}
		if len(found) < maxPlan || w.Builds == before { // nothing is left, or a policy has changed: the next round sees it
			return nil
		}
	}
}

func (w *sweep) expireSome(ctx context.Context, some []Candidate) error {
	if err := w.fault("expire"); err != nil {
		return err
	}
	gone, err := w.store.Expire(ctx, w.policies, some, w.now())
	if err != nil {
		return err
	}
	w.Builds += int64(len(gone))
	for _, t := range gone {
		w.log.InfoContext(ctx, "build expired", "build_id", t.ID, "project", t.Project, "state", t.State, "ended", t.FinishedAt, "policy", t.Policy)
	}
	return w.cleanSome(ctx, gone)
}

// clean continues where an earlier sweep stopped.
func (w *sweep) clean(ctx context.Context) error {
	return w.each(ctx, w.cleanSome, func(after Trace) ([]Trace, error) { return w.store.Uncleaned(ctx, after, batch) })
}

// forget deletes the traces that were kept for long enough.
func (w *sweep) forget(ctx context.Context) error {
	old := w.now().Add(-w.cfg.Trace)
	return w.each(ctx, w.forgetSome, func(after Trace) ([]Trace, error) { return w.store.Outlived(ctx, old, after, batch) })
}

// each does a step for all traces. One that fails does not keep the others waiting, unless a service is away.
func (w *sweep) each(ctx context.Context, step func(context.Context, []Trace) error, next func(after Trace) ([]Trace, error)) error {
	var failed error
	for after := (Trace{}); ; {
		some, err := next(after)
		if err != nil || len(some) == 0 {
			return errors.Join(failed, err)
		}
		after = some[len(some)-1]
		if err := w.apart(ctx, step, some); errors.Is(err, build.ErrUnavailable) || ctx.Err() != nil {
			return errors.Join(failed, err)
		} else if failed == nil {
			failed = err
		}
	}
}

// apart does a step for all at once or, if that fails, for each.
func (w *sweep) apart(ctx context.Context, step func(context.Context, []Trace) error, some []Trace) error {
	err := step(ctx, some)
	if err == nil || len(some) == 1 || errors.Is(err, build.ErrUnavailable) || ctx.Err() != nil {
		return err
	}
	var failed error
	for _, t := range some {
		if err := step(ctx, []Trace{t}); err != nil {
			failed = fmt.Errorf("build %s: %w", t.ID, err)
		}
	}
	return failed
}

func (w *sweep) cleanSome(ctx context.Context, some []Trace) error {
	if len(some) == 0 {
		return nil
	}
	if err := w.fault("clean"); err != nil {
		return err
	}
	bytes, err := w.neighbors.Clean(ctx, idsOf(some))
	if err != nil {
		return fmt.Errorf("clean up after expired builds: %w", err)
	}
	w.Bytes += bytes
	if err := w.fault("cleaned"); err != nil {
		return err
	}
	return w.store.Cleaned(ctx, idsOf(some), w.now())
}

func (w *sweep) forgetSome(ctx context.Context, some []Trace) error {
	if err := w.fault("forget"); err != nil {
		return err
	}
	if err := w.neighbors.Forget(ctx, idsOf(some)); err != nil {
		return fmt.Errorf("forget expired builds: %w", err)
	}
	if err := w.fault("forgotten"); err != nil {
		return err
	}
	return w.store.Forget(ctx, idsOf(some))
}

// forgetWorkers asks the others first: a worker's row is what says that there is work left.
func (w *sweep) forgetWorkers(ctx context.Context) error {
	p := w.policies.Farm
	if p.WorkerAge == 0 || p.EffectiveAt.After(w.now()) {
		return nil
	}
	for {
		since := w.now().Add(-p.WorkerAge)
		ids, err := w.store.Absent(ctx, since, batch)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := w.neighbors.ForgetWorkers(ctx, ids); err != nil {
			return fmt.Errorf("forget absent workers: %w", err)
		}
		n, err := w.store.ForgetWorkers(ctx, since, ids)
		if err != nil || n == 0 {
			return err
		}
		w.Workers += n
		w.log.InfoContext(ctx, "absent workers forgotten", "workers", n, "not_seen_since", since)
	}
}

func idsOf(all []Trace) []string {
	ids := make([]string, len(all))
	for i, t := range all {
		ids[i] = t.ID
	}
	return ids
}
