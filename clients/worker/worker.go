package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/artifacts"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/attempt"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/heartbeat"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/pace"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/slots"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Worker is one agent. Many may live in a process. Make it with New.
type Worker struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	farm     *farm.Client
	presence *heartbeat.Presence
	builds   *attempt.Runner
	slots    *slots.Slots
	offers   offers
	pace     pace.Current
	pauses   *pauseGuard
	// detected are labels of the machine; nil until they are known.
	detected atomic.Pointer[build.Labels]
	// syncNow asks for a sync soon; a second request while one waits changes nothing.
	syncNow chan struct{}
	// synced is closed after the first sync. Claims before it could count as forgotten ones.
	synced     chan struct{}
	syncedOnce sync.Once

	// draining: the worker claims nothing more. leaving: the process ends.
	draining, leaving atomic.Bool

	drain, release         chan struct{}
	drainOnce, releaseOnce sync.Once
}

// New checks the configuration and returns a worker; it starts nothing. A faulty configuration is ErrConfig.
func New(cfg Config, deps Deps) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Dial == nil {
		deps.Dial = bus.Connect
	}
	cfg = cfg.withDefaults()
	w := &Worker{
		cfg: cfg, deps: deps, log: deps.Log.With("worker", cfg.Name), slots: slots.New(cfg.Slots),
		syncNow: make(chan struct{}, 1), synced: make(chan struct{}), drain: make(chan struct{}), release: make(chan struct{}),
	}
	w.pauses = newPauseGuard(deps.Pauses, w.requestSync, w.log)
	w.farm = farm.NewClient(w.pauses.check)
	heartbeats := &heartbeat.Sender{Farm: w.farm, Log: w.log}
	w.presence = &heartbeat.Presence{Sender: heartbeats, Pace: &w.pace, Missed: w.requestSync}
	w.builds = attempt.NewRunner(attempt.Config{
		Gateway: deps.Gateway, Executor: deps.Executor, Farm: w.farm, Heartbeats: heartbeats, WatchPauses: w.pauses.watch,
		LogBuffer: cfg.LogBuffer, LogLimits: cfg.LogLimits,
		ArtifactLimits: artifacts.Limits{Bytes: cfg.ArtifactBytes, Files: cfg.ArtifactFiles}.OrDefault(), TelemetryInterval: cfg.TelemetryEvery, Log: w.log,
	})
	return w, nil
}

// Drain makes Run claim nothing more, finish what runs and return. It does not wait and may be called twice.
func (w *Worker) Drain() { w.drainOnce.Do(func() { close(w.drain) }) }

// Release makes Run release the leases of running builds now; another worker begins them again. It drains first if need be.
func (w *Worker) Release() {
	w.releaseOnce.Do(func() { close(w.release) })
	w.Drain()
}

// Run works until ctx ends or Drain is called, drains, and returns nil. Before that it returns only if the server refuses the worker for
// good (ErrRefused) or it cannot start (ErrStateInUse, an unwritable disk). It runs once.
func (w *Worker) Run(ctx context.Context) error {
	unlock, err := lockState(w.cfg.StateDir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := w.deps.Executor.Sweep(ctx); err != nil {
		return fmt.Errorf("end earlier builds: %w", err)
	}
	if w.builds.Machine, err = machineDigest(ctx, w.cfg.StateDir, w.deps.Executor); err != nil {
		return err
	}
	var detecting sync.WaitGroup
	defer detecting.Wait()
	// life outlasts ctx: a draining worker is alive.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	intake, stop := context.WithCancel(ctx)
	defer stop()
	detecting.Go(func() { w.detect(life) })
	var uploads sync.WaitGroup
	defer uploads.Wait()
	uploads.Go(func() { w.builds.RunUploads(intake) })
	connection := make(chan error, 1)
	go func() { connection <- w.stayConnected(life, intake) }()
	select {
	case err := <-connection:
		stop()
		w.builds.AbandonAll(err)
		w.slots.Close(context.Background())
		return err
	case <-ctx.Done():
	case <-w.drain:
	}
	stop()
	w.draining.Store(true)
	w.requestSync()
	w.finish(life)
	w.leave(life)
	end()
	return <-connection
}

// leaveTimeout bounds the last sync. Without it the worker's heartbeat expires.
const leaveTimeout = 2 * time.Second

// leave tells the scheduler that this process ends, so that it does not count on the worker's slots.
func (w *Worker) leave(ctx context.Context) {
	w.leaving.Store(true) // a sync in progress must not bring it back
	if !w.farm.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if _, err := w.sync(ctx); err != nil {
		w.log.InfoContext(ctx, "sign-off not answered", "err", err)
	}
}

// releaseTimeout bounds how long a stopping worker reports what it releases. After it the leases expire.
const releaseTimeout = 15 * time.Second

// finish waits for running builds, releases those that are left, and returns when nothing runs any more.
func (w *Worker) finish(ctx context.Context) {
	if n := w.builds.Count(); n > 0 {
		w.log.InfoContext(ctx, "draining", "builds", n, "timeout", w.cfg.DrainTimeout)
	}
	if w.finishRunning(ctx) {
		return
	}
	w.log.WarnContext(ctx, "releasing unfinished builds", "builds", w.builds.Count())
	w.builds.StopAll(attempt.ErrReleased)
	reporting, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if w.slots.Close(reporting) {
		return
	}
	w.builds.AbandonAll(attempt.ErrUnreported)
	w.slots.Close(ctx)
}

// finishRunning waits for running builds until DrainTimeout or Release. It returns false if some still run.
func (w *Worker) finishRunning(ctx context.Context) bool {
	waiting, cancel := context.WithTimeout(ctx, w.cfg.DrainTimeout)
	defer cancel()
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		select {
		case <-w.release:
			cancel()
		case <-waiting.Done():
		}
	}()
	defer cancel()
	return w.slots.Close(waiting)
}

// requestSync makes the worker compare its leases with the scheduler's soon.
func (w *Worker) requestSync() {
	select {
	case w.syncNow <- struct{}{}:
	default:
	}
}

// makeStateDir creates the state directory, which only the worker's user can read.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}
