package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// attempt is one build while it runs here.
type attempt struct {
	worker   *Worker
	lease    lease
	workerID string
	job      runtime.Job
	source   *eventsv1.ObjectRef
	timeout  time.Duration
	limits   limits
	began    time.Time
	// clock ends the work when the timeout is over.
	clock *time.Timer
	log   *slog.Logger

	keeper   *keeper
	reporter *reporter
	lines    *buildlog.Shipper
	mask     buildlog.Mask
	// stage is the one that runs; used by the attempt's own goroutine.
	stage string
}

// execute runs a claimed build to its end and tells the outcome. It returns when nothing of it runs any more.
func (w *Worker) execute(ctx context.Context, l lease, resp *schedulerv1.ClaimResponse) {
	// hold ends when the lease does; work ends before, when the outcome can still be told.
	hold, drop := context.WithCancelCause(ctx)
	defer drop(nil)
	work, stop := context.WithCancelCause(hold)
	defer stop(nil)
	if !w.held.add(l, grip{stop: stop, drop: drop}) {
		return // claimed twice, and running
	}
	defer w.held.remove(l)
	a := w.newAttempt(l, resp, drop, stop)
	begin := time.Now()
	a.log.InfoContext(ctx, "build begins", "platform", a.job.Platform, "executor", w.deps.Executor.Name())
	outcome := a.run(hold, work)
	a.log.InfoContext(ctx, "build ended", "outcome", outcome, "took", time.Since(begin).Round(time.Millisecond))
}

func (w *Worker) newAttempt(l lease, resp *schedulerv1.ClaimResponse, drop, stop context.CancelCauseFunc) *attempt {
	b, id := resp.GetBuild(), w.link.get().id
	log := w.log.With("build_id", l.build, "attempt", l.attempt)
	a := &attempt{
		worker: w, lease: l, workerID: id, source: b.GetSource(), log: log,
		timeout: time.Duration(resp.GetTimeoutSeconds()) * time.Second, limits: limitsOf(resp), began: time.Now(),
		job: runtime.Job{
			BuildID: l.build, Attempt: l.attempt, Project: b.GetProject(), Platform: build.Platform(b.GetPlatform()), Profile: b.GetProfile(),
		},
		keeper:   newKeeper(w, id, l, resp.GetStageTtlSeconds(), log),
		reporter: newReporter(w, l, drop, stop, log),
		lines: buildlog.New(buildlog.Config{
			WorkerID: id, BuildID: l.build, Attempt: l.attempt, Buffer: w.cfg.LogBuffer, Limits: w.cfg.LogLimits, Log: log,
			Publish: func(ctx context.Context, m *nats.Msg) error { return w.publish(ctx, m) },
		}),
		mask: buildlog.NewMask(w.deps.Executor.Secrets()),
	}
	if a.timeout <= 0 {
		a.timeout = defaultTimeout
	}
	return a
}

// defaultTimeout is for a scheduler that names none.
const defaultTimeout = 2 * time.Hour

// run keeps lease and log going around the work. The answer is for the worker's own log.
func (a *attempt) run(hold, work context.Context) string {
	aside, end := context.WithCancel(context.WithoutCancel(hold))
	var loops sync.WaitGroup
	defer loops.Wait()
	defer end()
	loops.Go(func() { a.worker.watchPauses(aside) })
	loops.Go(func() { a.keeper.run(aside) })
	loops.Go(func() { a.lines.Run(aside) })
	loops.Go(func() { a.reporter.run(aside) })
	verdict := a.work(work)
	if hold.Err() != nil {
		return a.forget(hold)
	}
	a.conclude(hold, verdict)
	a.flush(hold)
	if err := a.finish(hold, verdict); err != nil {
		return err.Error()
	}
	return verdict.Outcome.String()
}

// work builds within the build's timeout and judges how that went. When it returns, nothing of the build runs and its
// workspace is gone.
func (a *attempt) work(ctx context.Context) *schedulerv1.FinishRequest {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.clock = time.AfterFunc(a.timeout, func() { cancel(errTimedOut) })
	defer a.clock.Stop()
	id, err := a.inWorkspace(ctx)
	return a.judge(ctx, id, err)
}

func (a *attempt) inWorkspace(ctx context.Context) (id string, err error) {
	ws, err := a.worker.deps.Executor.Prepare(ctx, a.job)
	if err != nil {
		return "", err
	}
	defer func() {
		if err := ws.Close(); err != nil {
			a.log.ErrorContext(ctx, "workspace not removed", "err", err)
		}
	}()
	measuring, stop := context.WithCancel(ctx)
	var sampling sync.WaitGroup
	defer sampling.Wait()
	defer stop()
	sampling.Go(func() { a.sample(measuring, ws) })
	return a.build(ctx, ws)
}

const (
	// parting is for the last lines of a build that is no longer ours: the person who cancelled it may want to see them.
	parting = 5 * time.Second
	// flushWait bounds the wait for the last lines while the bus is there: a stream that takes none must not keep a
	// finished build from being told.
	flushWait = 30 * time.Second
)

// forget ends an attempt that is not ours any more. Its lines still count as this attempt's.
func (a *attempt) forget(hold context.Context) string {
	why := context.Cause(hold)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(hold), parting)
	defer cancel()
	a.say(ctx, "warn", "stopped: "+why.Error())
	_ = a.lines.Flush(ctx) // best effort
	return why.Error()
}

// flush waits until the log is stored, however long the bus is away: the finish could not be told either.
func (a *attempt) flush(hold context.Context) {
	for hold.Err() == nil {
		ctx, cancel := context.WithTimeout(hold, flushWait)
		err := a.lines.Flush(ctx)
		cancel()
		if err == nil {
			return
		}
		if a.worker.link.get().nc.IsConnected() {
			a.log.ErrorContext(hold, "the last log lines are not stored", "err", err)
			return
		}
	}
}

const (
	finishPause    = 200 * time.Millisecond
	finishPauseMax = 5 * time.Second
)

// finish tells the outcome until it is answered, for as long as nobody answers. An answer that it is not ours to tell ends it.
// An outcome that is refused for good becomes a failure of the infrastructure, so that another attempt can do better. When that
// is refused as well the attempt ends here: its heartbeats stop, and the farm takes it for lost.
func (a *attempt) finish(hold context.Context, verdict *schedulerv1.FinishRequest) error {
	var refused refusals
	for wait := finishPause; ; wait = min(2*wait, finishPauseMax) {
		_, err := a.worker.scheduler().Finish(hold, verdict)
		switch {
		case err == nil:
			return nil
		case gone(err):
			return err
		case refused.final(err):
			if verdict.Outcome == schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE {
				return &refusedError{what: "outcome", err: err}
			}
			what := "outcome"
			if verdict.Outcome == schedulerv1.FinishRequest_OUTCOME_COMPLETED {
				what = "result" // another attempt must make it again
			}
			a.log.WarnContext(hold, "outcome refused for good", "outcome", verdict.Outcome, "err", err)
			verdict, refused, wait = a.verdict(schedulerv1.FinishRequest_OUTCOME_INFRASTRUCTURE, (&refusedError{what, err}).Error()), 0, finishPause
			continue
		}
		a.log.WarnContext(hold, "outcome not told yet", "err", err)
		if !pause(hold, wait) {
			return context.Cause(hold)
		}
	}
}
