package legacy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// maxImport bounds the entries of one request, maxError an error message in bytes: responses stay below a message's limit.
	maxImport = 500
	maxError  = 64 << 10
	// firstHere is the first attempt here of a build that was imported unfinished: what happened before is attempt 1.
	firstHere = 2
)

// ImportBuilds adds builds of the legacy controller, in one transaction. A repeat changes nothing.
func (s *Service) ImportBuilds(ctx context.Context, r *schedulerv1.ImportBuildsRequest) (*schedulerv1.ImportBuildsResponse, error) {
	if len(r.GetBuilds()) > maxImport {
		return nil, fmt.Errorf("%w: %d builds, at most %d in one request", build.ErrInvalid, len(r.GetBuilds()), maxImport)
	}
	logs := map[string][]*eventsv1.LogLine{}
	for _, c := range r.GetLogs() {
		logs[c.GetBuildId()] = append(logs[c.GetBuildId()], c.GetLines()...)
	}
	builds, ids := make([]legacyBuild, len(r.GetBuilds())), make([]string, len(r.GetBuilds()))
	for i, v := range r.GetBuilds() {
		ids[i] = v.GetId()
		var err error
		if builds[i], err = s.legacyBuild(v); err != nil {
			return nil, err
		}
		builds[i].log = logs[v.GetId()]
	}
	expired, err := s.expiredImports(ctx, ids, r.GetCheck())
	if err != nil {
		return nil, err
	}
	resp := &schedulerv1.ImportBuildsResponse{}
	err = s.machine.Store.Update(ctx, func(tx *store.Tx) error {
		resp.Found = make([]*schedulerv1.Found, 0, len(builds))
		for _, f := range builds {
			if expired[f.ID] { // bringing it back would be the next sweep's work
				resp.Found = append(resp.Found, found(schedulerv1.Found_OUTCOME_PRESENT, "it has expired here"))
				continue
			}
			found, err := s.importBuild(ctx, tx, f, r.GetCheck())
			if err != nil {
				return err
			}
			resp.Found = append(resp.Found, found)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.machine.Signal.Changed()
	return resp, nil
}

// expiredImports returns which builds have expired here. The import has brought their files, logs and tokens again, so the next
// sweep cleans them again.
func (s *Service) expiredImports(ctx context.Context, ids []string, check bool) (map[string]bool, error) {
	expired, err := s.expired.HasTrace(ctx, ids)
	if err != nil || len(expired) == 0 || check {
		return expired, err
	}
	return expired, s.expired.MarkUncleaned(ctx, slices.Collect(maps.Keys(expired)))
}

// legacyBuild is a build as it will be here, and what it was there.
type legacyBuild struct {
	store.Build

	was     build.State
	attempt *store.Attempt
	// log is what was said of it there; only of one that is built here.
	log []*eventsv1.LogLine
}

func (s *Service) legacyBuild(v *schedulerv1.Build) (f legacyBuild, err error) {
	f.was = build.State(v.GetState())
	f.Build = store.Build{
		ID: v.GetId(), Project: v.GetProject(), Pool: v.GetPool(), State: f.was, Attempt: 1, WorkerID: v.GetWorkerId(),
		Error: v.GetError(), Profile: v.GetProfile(), Source: v.GetSource(), Certs: v.GetCerts(), Result: v.GetResult(),
		RetryOf: v.GetRetryOf(), SubmittedAt: store.FromMillis(v.GetSubmittedAtMs()), AssignedAt: store.FromMillis(v.GetAssignedAtMs()),
		StartedAt: store.FromMillis(v.GetStartedAtMs()), FinishedAt: store.FromMillis(v.GetFinishedAtMs()),
	}
	if f.Pool == "" {
		f.Pool = build.DefaultPool
	}
	if f.Platform, err = build.ParsePlatform(v.GetPlatform()); err != nil {
		return f, fmt.Errorf("build %.80q: %w", f.ID, err)
	}
	if err := f.valid(); err != nil {
		return f, err
	}
	if f.WorkerID != "" {
		f.attempt = f.ended(v.GetWorkerName(), s.machine.Now())
	}
	if !f.was.Final() {
		f.requeue()
	}
	return f, nil
}

func (f *legacyBuild) valid() error {
	switch {
	case !build.ValidID(f.ID), f.WorkerID != "" && !build.ValidID(f.WorkerID), f.RetryOf != "" && !build.ValidID(f.RetryOf):
		return fmt.Errorf("%w: build %.80q: its id, or that of its worker or of what it repeats, cannot be used", build.ErrInvalid, f.ID)
	case !build.ValidID(f.Pool), !build.ValidName(f.Project), !build.ValidName(f.Profile):
		return fmt.Errorf("%w: build %s: project, pool or profile", build.ErrInvalid, f.ID)
	case f.SubmittedAt.IsZero(), f.was.Final() && f.FinishedAt.IsZero():
		return fmt.Errorf("%w: build %s in state %s lacks a time", build.ErrInvalid, f.ID, f.was)
	case !f.was.Final() && f.Source.GetObjectId() == "":
		return fmt.Errorf("%w: build %s has no source and is to be built", build.ErrInvalid, f.ID)
	case len(f.Error) > maxError:
		return fmt.Errorf("%w: build %s: an error message of %d bytes", build.ErrInvalid, f.ID, len(f.Error))
	}
	switch f.was {
	case build.Completed, build.Failed, build.Cancelled, build.Pending, build.Assigned, build.Building:
		return nil
	}
	return fmt.Errorf("%w: build %s in state %.40q", build.ErrInvalid, f.ID, f.was)
}

// ended is what its worker had of the build: its whole attempt, or one that the other controller's end cut off.
func (f *legacyBuild) ended(workerName string, now time.Time) *store.Attempt {
	a := &store.Attempt{
		BuildID: f.ID, Number: 1, WorkerID: f.WorkerID, WorkerName: workerName, ClaimedAt: f.AssignedAt, StartedAt: f.StartedAt,
		EndedAt: f.FinishedAt, Error: f.Error,
	}
	switch f.was {
	case build.Completed:
		a.Outcome = store.Completed
	case build.Failed:
		a.Outcome = store.Failed
	case build.Cancelled:
		a.Outcome = store.Cancelled
	default:
		a.Outcome, a.EndedAt, a.Error = store.HandedBack, now, "imported from the legacy controller"
	}
	return a
}

// requeue makes it a build that waits for its first attempt here.
func (f *legacyBuild) requeue() {
	f.State, f.Attempt, f.WorkerID, f.Error, f.Result = build.Pending, firstHere, "", "", nil
	f.AssignedAt, f.StartedAt, f.FinishedAt = time.Time{}, time.Time{}, time.Time{}
}

func (s *Service) importBuild(ctx context.Context, tx *store.Tx, f legacyBuild, check bool) (*schedulerv1.Found, error) {
	have, err := tx.Build(ctx, f.ID)
	switch {
	case errors.Is(err, build.ErrNotFound) && check:
		return found(schedulerv1.Found_OUTCOME_ADDED, ""), nil
	case errors.Is(err, build.ErrNotFound):
		return found(schedulerv1.Found_OUTCOME_ADDED, ""), s.add(ctx, tx, f)
	case err != nil:
		return nil, err
	}
	if note := f.unlike(have); note != "" {
		return found(schedulerv1.Found_OUTCOME_DIFFERS, note), nil
	}
	if full, more := f.fill(have); more {
		if check {
			return found(schedulerv1.Found_OUTCOME_ADDED, "its files are new"), nil
		}
		return found(schedulerv1.Found_OUTCOME_ADDED, "its files are new"), tx.FillHistory(ctx, full)
	}
	return found(schedulerv1.Found_OUTCOME_PRESENT, ""), nil
}

func found(o schedulerv1.Found_Outcome, note string) *schedulerv1.Found {
	return &schedulerv1.Found{Outcome: o, Note: note}
}

func (s *Service) add(ctx context.Context, tx *store.Tx, f legacyBuild) (err error) {
	if f.Seq, err = tx.NextHistory(ctx); err != nil {
		return err
	}
	if err := tx.InsertHistory(ctx, f.Build); err != nil {
		return err
	}
	if f.attempt != nil {
		if err := tx.InsertEnded(ctx, *f.attempt); err != nil {
			return err
		}
	}
	if f.State.Final() {
		return nil
	}
	c := transition.NewChange(f.Build, s.machine.Now())
	if err := f.announce(ctx, c, s.machine.Now()); err != nil {
		return err
	}
	return c.Send(ctx, tx)
}

// announce emits what others need to know of a build that continues here, with the log that it brings.
func (f *legacyBuild) announce(ctx context.Context, c *transition.Change, at time.Time) error {
	if len(f.log) > 0 {
		lines, err := transition.LogLines(ctx, at, &eventsv1.LogChunk{BuildId: f.ID, Attempt: 1, Lines: f.log})
		if err != nil {
			return err
		}
		c.Add(lines)
	}
	if err := c.Emit(ctx, bus.Submitted, transition.Submitted(f.Build)); err != nil {
		return err
	}
	return c.Log(ctx, "info", "Imported from the legacy controller, where it was "+string(f.was)+"; queued again")
}

// unlike says in what a build that is here is not the one that comes.
func (f *legacyBuild) unlike(have store.Build) string {
	switch {
	case have.Platform != f.Platform, !have.SubmittedAt.Equal(f.SubmittedAt):
		return fmt.Sprintf("here it is for %s, submitted at %s", have.Platform, have.SubmittedAt.Format(time.RFC3339))
	case !f.was.Final() && have.State.Final() && have.Attempt < firstHere:
		return "here it was imported as " + string(have.State)
	case !f.was.Final():
		return "" // ours since then, whatever has become of it
	case have.State != f.State, have.Attempt >= firstHere:
		return fmt.Sprintf("there it is %s; here it was imported unfinished and is %s", f.was, have.State)
	case !have.FinishedAt.Equal(f.FinishedAt), have.Error != f.Error, have.WorkerID != f.WorkerID:
		return "it ended otherwise there: time, worker or error message differ"
	}
	return ""
}

// fill returns the build that is here with the files that it lacks and that are there now; more is false if there are none.
func (f *legacyBuild) fill(have store.Build) (full store.Build, more bool) {
	full = have
	if !have.History() || !have.State.Final() {
		return full, false
	}
	if have.Source == nil && f.Source.GetObjectId() != "" {
		full.Source, more = f.Source, true
	}
	if have.Certs == nil && f.Certs.GetObjectId() != "" {
		full.Certs, more = f.Certs, true
	}
	if have.Result == nil && f.Result.GetObjectId() != "" {
		full.Result, more = f.Result, true
	}
	return full, more
}
