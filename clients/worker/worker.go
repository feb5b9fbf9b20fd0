package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/shared/bus"
	pausedetector "github.com/expo-free-agent/freeagent/shared/pause"
)

// Worker is one agent. Many may live in a process.
type Worker struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	link  link
	slots *slots
	held  holding
	pace  atomic.Pointer[pace]
	awake awake
	// resync asks for a sync soon; a second ask while one waits is the same.
	resync chan struct{}
	// ready is closed after the first sync: claims before it could be taken for forgotten ones.
	ready     chan struct{}
	readyOnce sync.Once

	// draining: it takes no further build, and says so.
	draining, leaving atomic.Bool

	drained, handedBack         chan struct{}
	drainedOnce, handedBackOnce sync.Once
}

// New checks the configuration; nothing runs yet.
func New(cfg Config, deps Deps) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Dial == nil {
		deps.Dial = bus.Connect
	}
	cfg = cfg.withDefaults()
	w := &Worker{
		cfg: cfg, deps: deps, log: deps.Log.With("worker", cfg.Name), slots: newSlots(cfg.Slots),
		resync: make(chan struct{}, 1), ready: make(chan struct{}),
		drained: make(chan struct{}), handedBack: make(chan struct{}),
	}
	if w.awake.pauses = deps.Pauses; w.awake.pauses == nil {
		w.awake.pauses = pausedetector.New(awakeTick)
	}
	w.pace.Store(paceFrom(nil))
	return w, nil
}

// Drain makes Run take no further build, finish what runs and return. It does not wait and may be called twice.
func (w *Worker) Drain() { w.drainedOnce.Do(func() { close(w.drained) }) }

// HandBack makes a draining Run hand back what still runs now, and drains first if need be.
func (w *Worker) HandBack() {
	w.handedBackOnce.Do(func() { close(w.handedBack) })
	w.Drain()
}

// Run works until ctx ends or Drain is called, drains, and returns nil. Before that it returns only if the server refuses
// the worker for good (ErrRefused) or it cannot begin (ErrStateInUse, an unwritable disk). It runs once.
func (w *Worker) Run(ctx context.Context) error {
	unlock, err := lockState(w.cfg.StateDir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := w.deps.Executor.Sweep(ctx); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// life outlasts ctx: a draining worker is alive.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	intake, stop := context.WithCancel(ctx)
	defer stop()
	connection := make(chan error, 1)
	go func() { connection <- w.stayConnected(life, intake) }()
	select {
	case err := <-connection:
		stop()
		w.held.dropAll(err)
		w.slots.close(context.Background())
		return err
	case <-ctx.Done():
	case <-w.drained:
	}
	stop()
	w.draining.Store(true)
	w.askSync()
	w.drain(life)
	w.leave(life)
	end()
	return <-connection
}

// leaveWait bounds how long a worker that ends tries to tell so. Without it the worker's heartbeat expires instead.
const leaveWait = 2 * time.Second

// leave tells the scheduler that this process ends, so that nobody counts on its slots.
func (w *Worker) leave(ctx context.Context) {
	w.leaving.Store(true) // a sync under way must not bring it back
	if c := w.link.get(); c == nil || !c.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	if _, err := w.sync(ctx); err != nil {
		w.log.InfoContext(ctx, "the scheduler did not hear that this worker stops", "err", err)
	}
}

// handBackWait bounds how long a stopping worker tries to say what it hands back. After it the leases expire instead.
const handBackWait = 15 * time.Second

// drain waits for running builds, hands back what is left, and returns when nothing runs any more.
func (w *Worker) drain(ctx context.Context) {
	if n := w.held.count(); n > 0 {
		w.log.InfoContext(ctx, "draining: no new builds, finishing those that run", "builds", n, "timeout", w.cfg.DrainTimeout)
	}
	if w.finishRunning(ctx) {
		return
	}
	w.log.WarnContext(ctx, "handing back what still runs", "builds", w.held.count())
	w.held.stopAll(errHandBack)
	brief, cancel := context.WithTimeout(ctx, handBackWait)
	defer cancel()
	if w.slots.close(brief) {
		return
	}
	w.held.dropAll(errGaveUp)
	w.slots.close(ctx)
}

// finishRunning waits for running builds until DrainTimeout or HandBack; false if some still run.
func (w *Worker) finishRunning(ctx context.Context) bool {
	patient, cancel := context.WithTimeout(ctx, w.cfg.DrainTimeout)
	defer cancel()
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		select {
		case <-w.handedBack:
			cancel()
		case <-patient.Done():
		}
	}()
	defer cancel()
	return w.slots.close(patient)
}

// askSync makes the worker compare what it holds with the scheduler soon.
func (w *Worker) askSync() {
	select {
	case w.resync <- struct{}{}:
	default:
	}
}

// makeStateDir makes the directory for the worker's eyes only.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// pause waits for d and says whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
