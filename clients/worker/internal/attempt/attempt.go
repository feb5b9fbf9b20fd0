package attempt

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/heartbeat"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/report"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/telemetry"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/transfer"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// defaultTimeout of a build is for a scheduler that sends none.
const defaultTimeout = 2 * time.Hour

// attempt is one try of this worker at a build.
type attempt struct {
	runner   *Runner
	lease    farm.Lease
	workerID string
	job      runtime.Job
	source   *eventsv1.ObjectRef
	began    time.Time
	timeout  time.Duration
	limits   limits
	// timer ends the work when the timeout has passed.
	timer *time.Timer
	log   *slog.Logger

	renewer   *heartbeat.LeaseRenewer
	stages    *report.Stages
	transfers *transfer.Transfers
	lines     *buildlog.Shipper
	mask      buildlog.Mask
	// stage is the one that runs; used by the attempt's own goroutine.
	stage string
	// uploads are slash paths of the source that steps of a custom build deliver.
	uploads []string
	// plan is that of the source, once it is known. artifacts are slash paths of the source that steps of a custom build keep besides.
	plan      pipeline.Plan
	artifacts []string
	// shared is the farm's cache; nil before the work begins.
	shared *shared
	// repackFrom is what the build is repacked from; nil for a native build.
	repackFrom *schedulerv1.RepackSource
	// made says what the build is made with.
	made *schedulerv1.Made
}

func newAttempt(r *Runner, l farm.Lease, claim *schedulerv1.ClaimResponse, c controls) *attempt {
	b, id := claim.GetBuild(), r.Farm.Conn().WorkerID
	log := r.Log.With("build_id", l.BuildID, "attempt", l.Attempt)
	leaseLost := func() { c.abandon(ErrLeaseLost) }
	a := &attempt{
		runner: r, lease: l, workerID: id, source: b.GetSource(), log: log, began: time.Now(),
		timeout: time.Duration(claim.GetTimeoutSeconds()) * time.Second, limits: limitsOf(claim), repackFrom: claim.GetRepack(),
		job: runtime.Job{
			BuildID: l.BuildID, Attempt: l.Attempt, Project: b.GetProject(), Platform: build.Platform(b.GetPlatform()), Profile: b.GetProfile(),
			Origin: build.Origin{Repository: b.GetOrigin().GetRepository(), Commit: b.GetOrigin().GetCommit(), Branch: b.GetOrigin().GetBranch()},
			Settings: build.Settings{
				AppPath: b.GetSettings().GetAppPath(), Modified: b.GetSettings().GetModified(), Username: b.GetSettings().GetUsername(),
				BuildNumber: b.GetSettings().GetBuildNumber(), RepackFrom: b.GetSettings().GetRepackFrom(),
			},
			RepackName: repackName(claim),
		},
		renewer: heartbeat.NewLeaseRenewer(r.Heartbeats, id, l, claim.GetStageTtlSeconds()),
		stages: report.NewStages(report.StagesConfig{
			Farm: r.Farm, WorkerID: id, Lease: l, LeaseLost: leaseLost, Refused: func(err error) { c.stop(err) }, Log: log,
		}),
		lines: buildlog.New(buildlog.Config{
			WorkerID: id, BuildID: l.BuildID, Attempt: l.Attempt, Buffer: r.LogBuffer, Limits: r.LogLimits, Log: log,
			Publish: func(ctx context.Context, m *nats.Msg) error { return r.Farm.Publish(ctx, m) },
		}),
		mask: buildlog.NewMask(r.Executor.Secrets()), made: &schedulerv1.Made{Machine: r.Machine},
	}
	a.transfers = &transfer.Transfers{
		Gateway: r.Gateway, Farm: r.Farm, WorkerID: id, Lease: l, LeaseLost: leaseLost, Log: a.logLine,
		Mask: func(s string) string { return a.mask.Text(s) },
	}
	if a.timeout <= 0 {
		a.timeout = defaultTimeout
	}
	return a
}

// run works within working and reports within held. It returns how the attempt ended, for the worker's log.
func (a *attempt) run(held, working context.Context) string {
	background, end := context.WithCancel(context.WithoutCancel(held))
	var loops sync.WaitGroup
	defer loops.Wait()
	defer end()
	loops.Go(func() { a.runner.WatchPauses(background) })
	loops.Go(func() { a.renewer.Run(background) })
	loops.Go(func() { a.lines.Run(background) })
	loops.Go(func() { a.stages.Run(background) })
	a.shared = newShared(background, a.transfers)
	outcome := a.work(working)
	a.share(held, held.Err() == nil)
	if held.Err() != nil {
		return a.abandoned(held)
	}
	a.logOutcome(held, outcome)
	a.flushLog(held)
	if err := report.Outcome(held, a.runner.Farm, outcome, a.log); err != nil {
		return err.Error()
	}
	return outcome.GetOutcome().String()
}

// work builds within the build's timeout and returns the outcome. When it returns, no process of the build runs and its workspace is
// gone.
func (a *attempt) work(ctx context.Context) *schedulerv1.FinishRequest {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.timer = time.AfterFunc(a.timeout, func() { cancel(errTimedOut) })
	defer a.timer.Stop()
	return a.buildInWorkspace(ctx)
}

func (a *attempt) buildInWorkspace(ctx context.Context) *schedulerv1.FinishRequest {
	ws, err := a.runner.Executor.Prepare(ctx, a.job)
	if err != nil {
		return a.outcome(ctx, "", err)
	}
	defer func() {
		if err := ws.Close(); err != nil {
			a.log.ErrorContext(ctx, "remove workspace failed", "err", err)
		}
	}()
	if cacher, ok := ws.(runtime.SharedCacher); ok {
		cacher.UseShared(a.shared)
	}
	if source, ok := ws.(runtime.Measurer); ok && a.runner.TelemetryInterval > 0 {
		measuring, stop := context.WithCancel(ctx)
		var sampling sync.WaitGroup
		defer sampling.Wait()
		defer stop()
		sampling.Go(func() {
			telemetry.Sample(measuring, telemetry.Config{
				Farm: a.runner.Farm, WorkerID: a.workerID, Lease: a.lease, Source: source, Dir: ws.Dir(), Began: a.began,
				Interval: a.runner.TelemetryInterval, Stage: a.renewer.Stage, Log: a.log,
			})
		})
	}
	id, err := a.build(ctx, ws)
	outcome := a.outcome(ctx, id, err)
	a.keepArtifacts(ctx, ws, outcome)
	return outcome
}

const (
	// lastLinesTimeout is for the last lines of an abandoned attempt: the person who cancelled it may want to see them.
	lastLinesTimeout = 5 * time.Second
	// flushTimeout bounds the wait for the last lines while the bus is connected: a stream that stores nothing must not keep the outcome
	// of a build back.
	flushTimeout = 30 * time.Second
)

// abandoned ends an attempt that this worker does not hold any more. Its last lines still count as this attempt's.
func (a *attempt) abandoned(held context.Context) string {
	cause := context.Cause(held)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(held), lastLinesTimeout)
	defer cancel()
	a.logLine(ctx, "warn", "stopped: "+cause.Error())
	_ = a.lines.Flush(ctx) // best effort
	return cause.Error()
}

// flushLog waits until the log is stored, however long the bus is away: the outcome could not be reported either.
func (a *attempt) flushLog(held context.Context) {
	for held.Err() == nil {
		ctx, cancel := context.WithTimeout(held, flushTimeout)
		err := a.lines.Flush(ctx)
		cancel()
		if err == nil {
			return
		}
		if a.runner.Farm.Connected() {
			a.log.ErrorContext(held, "last log lines not stored", "err", err)
			return
		}
	}
}

// logLine adds a line of the worker's own to the build's log. What it says of a build may hold secrets: commands, file names, addresses.
func (a *attempt) logLine(ctx context.Context, level, text string) {
	l := buildlog.NewLines(a.mask, func(line string) { a.lines.Line(ctx, level, a.stage, line) })
	_, _ = l.Write([]byte(text))
	l.Close()
}
