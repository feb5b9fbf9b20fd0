package attempt

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/artifacts"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/heartbeat"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// Why an attempt ended before its time: causes of its contexts.
var (
	ErrLeaseLost   = errors.New("the lease is lost")
	ErrCancelled   = errors.New("cancelled")
	ErrReleased    = errors.New("the worker stops")
	ErrUnreported  = errors.New("the worker stopped before the scheduler answered")
	ErrNewIdentity = errors.New("the server gave this worker a new identity")

	errTimedOut = errors.New("timed out")
)

// Config of a Runner.
type Config struct {
	Gateway    *api.Client
	Executor   runtime.Executor
	Farm       *farm.Client
	Heartbeats *heartbeat.Sender
	// WatchPauses detects pauses of the process until ctx ends. It runs while an attempt does.
	WatchPauses func(ctx context.Context)
	// Machine is the digest of what of this machine builds depend on; empty if it is not known.
	Machine string
	// LogBuffer and LogLimits are those of buildlog.Config.
	LogBuffer int
	LogLimits buildlog.Limits
	// ArtifactLimits bound the files that a build keeps besides its result.
	ArtifactLimits artifacts.Limits
	// TelemetryInterval is the time between samples; 0 means none.
	TelemetryInterval time.Duration
	Log               *slog.Logger
}

// Runner runs attempts. Make it with NewRunner. It is safe for concurrent use.
type Runner struct {
	Config

	uploads uploads
	mu      sync.Mutex
	running map[farm.Lease]controls
}

// controls end an attempt: stop ends its work, and its outcome is reported; abandon ends everything.
type controls struct{ stop, abandon context.CancelCauseFunc }

// NewRunner returns a runner without attempts.
func NewRunner(cfg Config) *Runner {
	return &Runner{Config: cfg, uploads: newUploads(), running: map[farm.Lease]controls{}}
}

// Run runs a claimed build to its end and reports the outcome. When it returns, no process of the build runs any more.
func (r *Runner) Run(ctx context.Context, l farm.Lease, claim *schedulerv1.ClaimResponse) {
	held, abandon := context.WithCancelCause(ctx)
	defer abandon(nil)
	working, stop := context.WithCancelCause(held)
	defer stop(nil)
	c := controls{stop: stop, abandon: abandon}
	if !r.add(l, c) {
		return // claimed twice, and running
	}
	defer r.remove(l)
	a := newAttempt(r, l, claim, c)
	a.log.InfoContext(ctx, "build started", "platform", a.job.Platform, "executor", r.Executor.Name())
	outcome := a.run(held, working)
	a.log.InfoContext(ctx, "build ended", "outcome", outcome, "took", time.Since(a.began).Round(time.Millisecond))
}

func (r *Runner) add(l farm.Lease, c controls) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, runs := r.running[l]; runs {
		return false
	}
	r.running[l] = c
	return true
}

func (r *Runner) remove(l farm.Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, l)
}

// Abandon ends an attempt without a report. One that does not run is ignored.
func (r *Runner) Abandon(l farm.Lease, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.running[l]; ok {
		c.abandon(cause)
	}
}

// AbandonAll ends all attempts without a report.
func (r *Runner) AbandonAll(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.running {
		c.abandon(cause)
	}
}

// StopAll ends the work of all attempts, and their outcomes are reported.
func (r *Runner) StopAll(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.running {
		c.stop(cause)
	}
}

// Count returns how many attempts run.
func (r *Runner) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.running)
}

// Leases returns the attempts that run, for the scheduler.
func (r *Runner) Leases() []*schedulerv1.Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*schedulerv1.Lease, 0, len(r.running))
	for l := range r.running {
		list = append(list, &schedulerv1.Lease{BuildId: l.BuildID, Attempt: l.Attempt})
	}
	return list
}
