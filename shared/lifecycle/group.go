package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// ErrStopping is the cause with which a loop's context ends in an orderly stop, as against a failure.
var ErrStopping = errors.New("stopping")

// Loop runs until its context ends and returns nil then. Returning earlier, with or without an error, stops the group.
type Loop func(ctx context.Context) error

type member struct {
	name string
	run  Loop
}

// Group is a set of loops. Add them with Go, then Run it once.
type Group struct {
	log     *slog.Logger
	members []member
}

// New returns an empty group.
func New(log *slog.Logger) *Group { return &Group{log: log} }

// Go adds a loop; it starts with Run, after those added before it.
func (g *Group) Go(name string, run Loop) { g.members = append(g.members, member{name, run}) }

// running is a started loop.
type running struct {
	name string
	stop context.CancelCauseFunc
	done chan struct{}
	err  error
}

// Run starts every loop and waits until ctx ends or one loop returns; then it stops them, last started first, and waits for
// each. It returns what went wrong, by loop, and nil after an orderly stop.
func (g *Group) Run(ctx context.Context) error {
	ended := make(chan *running, len(g.members))
	loops := make([]*running, 0, len(g.members))
	// Loops outlive ctx until their turn comes, so that they stop in order.
	base := context.WithoutCancel(ctx)
	for _, m := range g.members {
		loopCtx, cancel := context.WithCancelCause(base)
		r := &running{name: m.name, stop: cancel, done: make(chan struct{})}
		loops = append(loops, r)
		go func() {
			defer close(r.done)
			r.err = guard(loopCtx, m.run)
			ended <- r
		}()
	}
	var early *running
	if len(loops) > 0 {
		select {
		case <-ctx.Done():
		case early = <-ended:
		}
	}
	return g.stop(loops, early)
}

func (g *Group) stop(loops []*running, early *running) error {
	var faults []error
	if early != nil && early.err == nil {
		faults = append(faults, fmt.Errorf("%s: ended though nobody asked it to", early.name))
	}
	for i := len(loops) - 1; i >= 0; i-- {
		r := loops[i]
		r.stop(ErrStopping)
		<-r.done
		g.log.Debug("component stopped", "loop", r.name)
		if r.err != nil && !errors.Is(r.err, ErrStopping) && !(errors.Is(r.err, context.Canceled) && r != early) {
			faults = append(faults, fmt.Errorf("%s: %w", r.name, r.err))
		}
	}
	return errors.Join(faults...)
}

// guard turns a loop's panic into its error: the others still stop in order.
func guard(ctx context.Context, run Loop) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run(ctx)
}
