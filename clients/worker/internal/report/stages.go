package report

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// answerWait is how long a build waits until the scheduler knows of a stage. Then it continues: a scheduler that restarts must not delay
// builds.
const answerWait = 2 * time.Second

const (
	minRetry = 100 * time.Millisecond
	maxRetry = 5 * time.Second
)

// StagesConfig of Stages.
type StagesConfig struct {
	Farm     *farm.Client
	WorkerID string
	Lease    farm.Lease
	// LeaseLost is called when the scheduler says that the worker does not hold the attempt, Refused when it refuses a stage for good.
	LeaseLost func()
	Refused   func(error)
	Log       *slog.Logger
}

// Stages reports the stage of an attempt. Only the latest counts: a stage that could not be reported before the next one is left out.
// Make it with NewStages. It is safe for concurrent use.
type Stages struct {
	StagesConfig

	mu    sync.Mutex
	stage string
	// timeout of the stage and of the build are those of the build's profile, 0 if it has none.
	stageTimeout, buildTimeout time.Duration
	// reported is closed when stage is reported; nil if there is nothing to report.
	reported chan struct{}
	// changed wakes Run.
	changed chan struct{}
}

// NewStages returns a reporter; it sends nothing until Run.
func NewStages(cfg StagesConfig) *Stages {
	return &Stages{StagesConfig: cfg, changed: make(chan struct{}, 1)}
}

// Report reports a stage with its heartbeat timeout, and waits up to answerWait for the answer.
func (s *Stages) Report(ctx context.Context, stage string, timeout time.Duration) {
	reported := make(chan struct{})
	s.mu.Lock()
	s.stage, s.stageTimeout, s.reported = stage, timeout, reported
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	t := time.NewTimer(answerWait)
	defer t.Stop()
	select {
	case <-reported:
	case <-t.C:
	case <-ctx.Done():
	}
}

// SetBuildTimeout adds the timeout of the build's profile to the next report.
func (s *Stages) SetBuildTimeout(timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buildTimeout = timeout
}

// Run reports until ctx ends.
func (s *Stages) Run(ctx context.Context) {
	for {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return
		}
		var refusals farm.Refusals
		for retries := (backoff.Retries{First: minRetry, Most: maxRetry}); !s.send(ctx, &refusals); {
			if retries.Sleep(ctx) != nil {
				return
			}
		}
	}
}

// send reports the latest stage. It returns false if that must be tried again.
func (s *Stages) send(ctx context.Context, refusals *farm.Refusals) bool {
	s.mu.Lock()
	stage, stageTimeout, buildTimeout, reported := s.stage, s.stageTimeout, s.buildTimeout, s.reported
	s.mu.Unlock()
	if reported == nil {
		return true // sent with the one before: the wake-up came while that was in progress
	}
	_, err := s.Farm.Scheduler().Stage(ctx, &schedulerv1.StageRequest{
		WorkerId: s.WorkerID, BuildId: s.Lease.BuildID, Attempt: s.Lease.Attempt, Stage: stage,
		TtlSeconds: int32(stageTimeout / time.Second), TimeoutSeconds: int64(buildTimeout / time.Second),
	})
	switch {
	case err == nil:
	case farm.IsNotHeld(err):
		s.LeaseLost()
	case refusals.Final(err):
		s.Refused(&farm.RefusedError{What: "stage " + stage, Err: err})
	default:
		if ctx.Err() == nil {
			s.Log.WarnContext(ctx, "stage not reported yet", "stage", stage, "err", err)
		}
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reported == reported {
		close(reported)
		s.reported = nil
		return true
	}
	return false // another stage began meanwhile
}
