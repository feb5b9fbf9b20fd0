package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/dispatch"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/numbers"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/repack"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/reuse"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/view"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Submit stores a build and puts it into the queue: when it returns, the build is durable. A repeat with the same id gets the same build.
func (s *Scheduler) Submit(ctx context.Context, r *schedulerv1.SubmitRequest) (*schedulerv1.SubmitResponse, error) {
	b, err := s.newBuild(r)
	if err != nil {
		return nil, err
	}
	if err := s.storage.Err(); err != nil {
		return s.refuseSubmit(ctx, b, err)
	}
	a := submission{build: b, prefers: r.GetPrefers(), notes: r.GetNotes(), supersede: s.supersedes(b, r.GetSupersede())}
	if a.key, a.keyed, err = reuse.KeyOf(r); err != nil {
		return nil, err
	}
	err = s.waiting.Admit(ctx, func() error { return s.insert(ctx, &a) })
	if b = a.build; errors.Is(err, store.ErrConflict) {
		return s.submittedBefore(ctx, b)
	}
	if errors.Is(err, build.ErrQueueFull) || errors.Is(err, build.ErrInvalid) { // a repeat needs neither room in the queue nor another number
		return s.refuseSubmit(ctx, b, err)
	}
	if err != nil {
		return nil, err
	}
	s.machine.Signal.Arrived()
	resp := &schedulerv1.SubmitResponse{Build: view.Build(b), Warnings: a.warnings}
	for _, old := range a.superseded {
		s.stopWorker(ctx, old.holder, old.build, old.build.Error)
		resp.Superseded = append(resp.Superseded, old.build.ID)
	}
	s.machine.Flush(ctx, "submit", b.ID)
	return resp, nil
}

// refuseSubmit returns why, unless the build was submitted before.
func (s *Scheduler) refuseSubmit(ctx context.Context, b store.Build, why error) (*schedulerv1.SubmitResponse, error) {
	if resp, unknown := s.submittedBefore(ctx, b); unknown == nil {
		return resp, nil
	}
	return nil, why
}

// submission is a build on its way into the queue.
type submission struct {
	build store.Build
	// prefers are labels that its worker should have, as KEY=VALUE by comma.
	prefers string
	// notes are warnings of the gateway's for the build's log.
	notes     []string
	supersede bool
	// key says when the build may be reused, if keyed.
	key   store.BuildKey
	keyed bool

	warnings   []string
	superseded []superseded
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
	case !build.ValidName(r.GetProject()):
		return store.Build{}, fmt.Errorf("%w: project %.120q (letters, digits, space and ._@/-, at most 100)", build.ErrInvalid, r.GetProject())
	case !build.ValidName(r.GetProfile()):
		return store.Build{}, fmt.Errorf("%w: profile %.120q (letters, digits, space and ._@/-, at most 100)", build.ErrInvalid, r.GetProfile())
	case r.GetSource().GetObjectId() == "":
		return store.Build{}, fmt.Errorf("%w: a build needs a source", build.ErrInvalid)
	}
	origin := originOf(r.GetOrigin())
	settings := settingsOf(r.GetSettings())
	requires, err := build.ParseRequirements(r.GetSettings().GetRequires())
	settings.Requires = requires
	settings.Requires = repack.Require(settings)
	if err := errors.Join(err, origin.Check(), settings.Check(), checkNumber(platform, r.GetProject(), settings.BuildNumber)); err != nil {
		return store.Build{}, err
	}
	return store.Build{
		ID: r.GetBuildId(), Project: r.GetProject(), Platform: platform, Pool: pool, State: build.Pending, Attempt: 1,
		Priority: r.GetPriority(), Profile: r.GetProfile(), Source: r.GetSource(), Certs: r.GetCerts(),
		RetryOf: r.GetRetryOf(), SubmittedAt: s.now(), Origin: origin, Settings: settings,
	}, nil
}

// checkNumber checks a build number; one of a counter needs a project.
func checkNumber(p build.Platform, project, n string) error {
	switch {
	case n == "", build.CountedNumber(n) && project != "":
		return nil
	case build.CountedNumber(n):
		return fmt.Errorf("%w: build number %s needs a project: each has its own counter", build.ErrInvalid, n)
	}
	return build.CheckNumber(p, n)
}

func originOf(o *schedulerv1.Origin) build.Origin {
	return build.Origin{Repository: o.GetRepository(), Commit: o.GetCommit(), Branch: o.GetBranch()}
}

func settingsOf(s *schedulerv1.BuildSettings) build.Settings {
	return build.Settings{AppPath: s.GetAppPath(), Modified: s.GetModified(), Username: s.GetUsername(), BuildNumber: s.GetBuildNumber(), RepackFrom: s.GetRepackFrom()}
}

func (s *Scheduler) insert(ctx context.Context, a *submission) error {
	warnings, err := s.warnings(ctx, a)
	if err != nil {
		return err
	}
	a.warnings = slices.Concat(warnings, a.notes)
	submitted := a.build
	return s.store.Update(ctx, func(tx *store.Tx) (err error) {
		b := submitted // this function may run again
		if err := repack.Check(ctx, tx, b); err != nil {
			return err
		}
		if b.Settings.BuildNumber, err = numbers.Take(ctx, tx, b); err != nil {
			return err
		}
		if b.Seq, err = tx.InsertBuild(ctx, b); err != nil {
			return err
		}
		if a.keyed {
			if err := store.ReusesIn(tx).Put(ctx, b.ID, a.key); err != nil {
				return err
			}
		}
		a.build = b
		c := transition.NewChange(b, b.SubmittedAt)
		if err := announce(ctx, c, b, a.warnings); err != nil {
			return err
		}
		if err := logRetry(ctx, tx, b); err != nil {
			return err
		}
		if a.supersede && b.Origin.Branch != "" && b.Origin.Commit != "" {
			if a.superseded, err = s.supersede(ctx, tx, b); err != nil {
				return err
			}
		}
		return c.Send(ctx, tx)
	})
}

// announce emits that b was submitted, and begins its log.
func announce(ctx context.Context, c *transition.Change, b store.Build, warnings []string) error {
	if err := c.Emit(ctx, bus.Submitted, transition.Submitted(b)); err != nil {
		return err
	}
	first := "Build submitted"
	if b.RetryOf != "" {
		first = "Build submitted (retry of " + b.RetryOf + ")"
	}
	if from := b.Settings.RepackFrom; from != "" {
		first += ", to be repacked from build " + from
	}
	if n := b.Settings.BuildNumber; n != "" {
		first += ", build number " + n
	}
	if r := b.Settings.Requires; r != "" {
		first += ", for a worker with " + r.String()
	}
	if err := c.Log(ctx, "info", first); err != nil {
		return err
	}
	for _, w := range warnings {
		if err := c.Log(ctx, "warn", w); err != nil {
			return err
		}
	}
	return nil
}

// logRetry adds a line to the log of the build that b repeats, if we know it.
func logRetry(ctx context.Context, tx *store.Tx, b store.Build) error {
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
	line, err := transition.LogLine(ctx, old.ID, old.Attempt, b.SubmittedAt, "info", "Retried as build "+b.ID, false)
	if err != nil {
		return err
	}
	return tx.Emit(ctx, line)
}

// warnings returns what a submitter should know at once. The build's priority is bounded here, so that the warning says what it got.
func (s *Scheduler) warnings(ctx context.Context, a *submission) (all []string, err error) {
	var bounded string
	if a.build.Priority, bounded = s.rules.BoundPriority(a.build.Project, a.build.Priority); bounded != "" {
		all = append(all, bounded)
	}
	if text := supersedeWarning(a.build); a.supersede && text != "" {
		all = append(all, text)
	}
	prefers, err := build.ParseRequirements(a.prefers)
	if err != nil {
		return all, fmt.Errorf("prefers: %w", err)
	}
	requires, notes, err := s.dispatch.Require(ctx, a.build, prefers)
	if err != nil {
		return all, err
	}
	a.build.Settings.Requires = requires
	all = append(all, notes...)
	if requires != "" { // the notes say so if no worker has them
		return all, nil
	}
	able, err := s.dispatch.HasWorker(ctx, a.build.Lane())
	if err == nil && !able {
		all = append(all, dispatch.NoWorker(a.build))
	}
	return all, err
}

// submittedBefore returns the response to a repeat.
func (s *Scheduler) submittedBefore(ctx context.Context, b store.Build) (*schedulerv1.SubmitResponse, error) {
	old, err := s.store.Build(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	if old.Source.GetObjectId() != b.Source.GetObjectId() {
		return nil, fmt.Errorf("%w: build id %s is in use", build.ErrInvalid, b.ID)
	}
	return &schedulerv1.SubmitResponse{Build: view.Build(old), Replayed: true}, nil
}
