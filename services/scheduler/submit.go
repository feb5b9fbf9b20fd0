package scheduler

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// nameRule is what projects and profiles may be called: it keeps them printable, short and free of control characters.
var nameRule = regexp.MustCompile(`^[\p{L}\p{N} ._@/-]{0,100}$`)

// flushWait bounds how long an answer waits for its events: long enough that a reader sees the log's lines in order on a busy
// machine, short enough that a bus outage does not stop submits. The answer does not depend on it.
const flushWait = 500 * time.Millisecond

// Submit acknowledges a build: when it returns, the build is durable. The same id submitted again is the same build.
func (s *Scheduler) Submit(ctx context.Context, r *schedulerv1.SubmitRequest) (*schedulerv1.SubmitResponse, error) {
	b, err := s.newBuild(r)
	if err != nil {
		return nil, err
	}
	if err := s.storage.Err(); err != nil {
		return s.refuseSubmit(ctx, b, err)
	}
	a := admission{build: b, notes: r.GetNotes(), supersede: s.supersedes(b, r.GetSupersede())}
	err = s.enter(ctx, &a)
	if b = a.build; errors.Is(err, store.ErrConflict) {
		return s.submittedBefore(ctx, b)
	}
	if errors.Is(err, build.ErrQueueFull) { // the repeat of one that is in the queue asks for no place
		return s.refuseSubmit(ctx, b, err)
	}
	if err != nil {
		return nil, err
	}
	s.returned()
	resp := &schedulerv1.SubmitResponse{Build: view(b), Warnings: a.warnings}
	for _, old := range a.superseded {
		s.order(ctx, old.holder, old.build, old.build.Error)
		resp.Superseded = append(resp.Superseded, old.build.ID)
	}
	s.flush(ctx, "submit", b.ID)
	return resp, nil
}

// refuseSubmit returns why, unless the build is in the queue already.
func (s *Scheduler) refuseSubmit(ctx context.Context, b store.Build, why error) (*schedulerv1.SubmitResponse, error) {
	if resp, unknown := s.submittedBefore(ctx, b); unknown == nil {
		return resp, nil
	}
	return nil, why
}

// admission is a build on its way into the queue.
type admission struct {
	build store.Build
	// notes are warnings of the gateway's for the build's log.
	notes     []string
	supersede bool

	warnings   []string
	superseded []superseded
}

// flush lets an answer wait until what it did is told, so that the lines and events of who gets the answer come after, and who ended
// a build finds its last line in the log. The transaction is done: a bus that is away delays the answer by flushWait and changes
// nothing else.
func (s *Scheduler) flush(ctx context.Context, what, buildID string) {
	ctx, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	if err := s.relay.Flush(ctx); err != nil {
		s.log.DebugContext(ctx, "answered before its events were out", "request", what, "build_id", buildID, "err", err)
	}
}

func (s *Scheduler) newBuild(r *schedulerv1.SubmitRequest) (store.Build, error) {
	platform, err := build.ParsePlatform(r.GetPlatform())
	if err != nil {
		return store.Build{}, err
	}
	pool := r.GetPool()
	if pool == "" {
		pool = build.DefaultPool
	}
	switch {
	case !build.ValidID(r.GetBuildId()):
		return store.Build{}, fmt.Errorf("%w: build id %q", build.ErrInvalid, r.GetBuildId())
	case !build.ValidID(pool):
		return store.Build{}, fmt.Errorf("%w: pool %q (letters, digits, _ and -, at most %d)", build.ErrInvalid, pool, build.MaxIDLength)
	case !nameRule.MatchString(r.GetProject()):
		return store.Build{}, fmt.Errorf("%w: project %.120q (letters, digits, space and ._@/-, at most 100)", build.ErrInvalid, r.GetProject())
	case !nameRule.MatchString(r.GetProfile()):
		return store.Build{}, fmt.Errorf("%w: profile %.120q (letters, digits, space and ._@/-, at most 100)", build.ErrInvalid, r.GetProfile())
	case r.GetSource().GetObjectId() == "":
		return store.Build{}, fmt.Errorf("%w: a build needs a source", build.ErrInvalid)
	}
	origin := originOf(r.GetOrigin())
	if err := origin.Check(); err != nil {
		return store.Build{}, err
	}
	return store.Build{
		ID: r.GetBuildId(), Project: r.GetProject(), Platform: platform, Pool: pool, State: build.Pending, Attempt: 1,
		Priority: r.GetPriority(), Profile: r.GetProfile(), Source: r.GetSource(), Certs: r.GetCerts(),
		RetryOf: r.GetRetryOf(), SubmittedAt: s.now(), Origin: origin,
	}, nil
}

func originOf(o *schedulerv1.Origin) build.Origin {
	return build.Origin{Repository: o.GetRepository(), Commit: o.GetCommit(), Branch: o.GetBranch()}
}

// enter admits a build and inserts it; meanwhile it counts as under way.
func (s *Scheduler) enter(ctx context.Context, a *admission) error {
	s.admitting.Add(1)
	defer s.admitting.Add(-1)
	if err := s.admit(ctx); err != nil {
		return err
	}
	if err := s.insert(ctx, a); err != nil {
		s.waiting.Add(-1)
		return err
	}
	return nil
}

// admit bounds the queue. The figure is refreshed now and then and counted up here between: the bound is there to stop a
// flood, not to be exact to the build. Who is refused is refused by a figure that was counted after he came.
func (s *Scheduler) admit(ctx context.Context) error {
	came := time.Now()
	if s.waiting.Add(1) <= s.cfg.MaxWaiting {
		return nil
	}
	err := s.countAfter(ctx, came)
	if err == nil && s.waiting.Load() <= s.cfg.MaxWaiting {
		return nil
	}
	s.waiting.Add(-1)
	if err == nil {
		err = fmt.Errorf("%w: %d builds wait already", build.ErrQueueFull, s.cfg.MaxWaiting)
	}
	return err
}

// countPause is the least time between two counts for submits that a full queue is about to refuse: all who come meanwhile wait
// for one, so that a flood of them costs twenty counts a second.
const countPause = 50 * time.Millisecond

// countAfter sees to it that the figure of waiting builds was counted after t.
func (s *Scheduler) countAfter(ctx context.Context, t time.Time) error {
	s.counting.Lock()
	defer s.counting.Unlock()
	if s.counted.After(t) {
		return nil
	}
	pause := time.NewTimer(countPause - time.Since(s.counted))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-pause.C:
	}
	return s.count(ctx)
}

// recount refreshes the figure of waiting builds if it is older than that: counting visits every one of them.
func (s *Scheduler) recount(ctx context.Context, older time.Duration) error {
	s.counting.Lock()
	defer s.counting.Unlock()
	if time.Since(s.counted) < older {
		return nil
	}
	return s.count(ctx)
}

// count is for who holds counting. Submits that are inserted meanwhile may be counted twice, until the next time, and never not at
// all.
func (s *Scheduler) count(ctx context.Context) error {
	began := time.Now()
	was, admitting := s.waiting.Load(), s.admitting.Load()
	waiting, _, err := s.store.Summary(ctx)
	if err != nil {
		return err
	}
	s.waiting.Add(waiting + admitting - was)
	s.counted = began
	return nil
}

func (s *Scheduler) insert(ctx context.Context, a *admission) error {
	warnings, err := s.warnings(ctx, a)
	if err != nil {
		return err
	}
	a.warnings = slices.Concat(warnings, a.notes)
	return s.store.Update(ctx, func(tx *store.Tx) (err error) {
		if a.build.Seq, err = tx.InsertBuild(ctx, a.build); err != nil {
			return err
		}
		b := a.build
		c := change{was: b, now: b, at: b.SubmittedAt}
		if err := c.tellSubmitted(ctx, a.warnings); err != nil {
			return err
		}
		if err := s.sayRetried(ctx, tx, b); err != nil {
			return err
		}
		if a.supersede && b.Origin.Branch != "" && b.Origin.Commit != "" {
			if a.superseded, err = s.supersede(ctx, tx, b); err != nil {
				return err
			}
		}
		return tx.Emit(ctx, c.facts...)
	})
}

func (c *change) tellSubmitted(ctx context.Context, warnings []string) error {
	b := c.now
	if err := c.tell(ctx, bus.Submitted, c.submitted()); err != nil {
		return err
	}
	first := "Build submitted"
	if b.RetryOf != "" {
		first = "Build submitted (retry of " + b.RetryOf + ")"
	}
	if err := c.say(ctx, "info", first); err != nil {
		return err
	}
	for _, w := range warnings {
		if err := c.say(ctx, "warn", w); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) submitted() *eventsv1.BuildSubmitted {
	b := c.now
	return &eventsv1.BuildSubmitted{
		BuildId: b.ID, Project: b.Project, Platform: string(b.Platform), Pool: b.Pool,
		SubmittedAtMs: b.SubmittedAt.UnixMilli(), RetryOf: b.RetryOf,
	}
}

// sayRetried adds a line to the log of the build that b repeats, if we know it.
func (s *Scheduler) sayRetried(ctx context.Context, tx *store.Tx, b store.Build) error {
	if b.RetryOf == "" {
		return nil
	}
	old, err := tx.Build(ctx, b.RetryOf)
	if errors.Is(err, build.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	line, err := logLine(ctx, old.ID, old.Attempt, b.SubmittedAt, "info", "Retried as build "+b.ID, false)
	if err != nil {
		return err
	}
	return tx.Emit(ctx, line)
}

// warnings are what a submitter should know at once. The build's priority is bounded here, so that the warning says what it got.
func (s *Scheduler) warnings(ctx context.Context, a *admission) (all []string, err error) {
	var bounded string
	if a.build.Priority, bounded = s.boundPriority(a.build.Project, a.build.Priority); bounded != "" {
		all = append(all, bounded)
	}
	if text := supersedeWarning(a.build); a.supersede && text != "" {
		all = append(all, text)
	}
	groups, err := s.store.Groups(ctx, s.now().Add(-joining))
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(groups, func(g store.Group) bool { return g.Can(a.build.Lane()) }) {
		all = append(all, noWorker(a.build))
	}
	return all, nil
}

func noWorker(b store.Build) string {
	return fmt.Sprintf("No connected worker can build %s in pool %s. The build waits for one; start it with `freeagent worker`.",
		b.Platform, b.Pool)
}

// submittedBefore answers the repeat of a request whose answer was lost.
func (s *Scheduler) submittedBefore(ctx context.Context, b store.Build) (*schedulerv1.SubmitResponse, error) {
	old, err := s.store.Build(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	if old.Source.GetObjectId() != b.Source.GetObjectId() {
		return nil, fmt.Errorf("%w: build id %s is in use", build.ErrInvalid, b.ID)
	}
	return &schedulerv1.SubmitResponse{Build: view(old)}, nil
}
