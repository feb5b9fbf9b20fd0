package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
)

// Fault is one thing that was done to the cluster.
type Fault struct {
	// Kind is kill (SIGKILL, then started again), pause (SIGSTOP), restart (SIGTERM, then started again) or cut (off the network).
	Kind string `json:"kind"`
	// On is what was meant, such as "scheduler" or "nats-leader"; Targets are the processes that it was.
	On      string        `json:"on"`
	Targets []string      `json:"targets"`
	Begin   time.Time     `json:"begin"`
	For     time.Duration `json:"for_ns"`
	// Unanswered is the longest time that the list of builds was not answered, from the fault until it was again; 0 if it always was.
	Unanswered time.Duration `json:"unanswered_ns"`
	// Submit is the longest that a client waited for a submit that fell into the fault, its own repeats included.
	Submit time.Duration `json:"longest_submit_ns"`
}

// The kinds of faults.
const (
	kill    = "kill"
	pause   = "pause"
	restart = "restart"
	cut     = "cut"
)

// nemesis makes one fault after the other.
type nemesis struct {
	cluster *cluster.Cluster
	// cuts: processes can be cut off here; where they cannot, they are paused instead, which others see alike.
	cuts   bool
	script []Strike
	rng    *rand.Rand
	log    *slog.Logger
	faults []Fault

	mu sync.Mutex
	// victims are down because of us.
	victims map[string]bool
}

// holds says that a process is down because of us.
func (n *nemesis) holds(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.victims[name]
}

// hold takes the victims, or lets all go with none.
func (n *nemesis) hold(victims ...*cluster.Process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.victims = map[string]bool{}
	for _, p := range victims {
		n.victims[p.Name] = true
	}
}

// least and most are how long a fault lasts. The most is longer than the leases of the chaos run, so that they are lost, too.
const (
	least = 500 * time.Millisecond
	most  = 12 * time.Second
	// rest is the time between faults at most, for work to be done.
	rest = 3 * time.Second
	// calm is the time between the faults of a script, so that each is seen alone.
	calm = 8 * time.Second
)

// run continues until ctx ends or count faults were made: those of the script, over and over, or what the dice say.
func (n *nemesis) run(ctx context.Context, count int) error {
	for i := range count {
		s, pause := n.draw(), time.Duration(n.rng.Int64N(int64(rest)))
		if len(n.script) > 0 {
			s, pause = n.script[i%len(n.script)], calm
		}
		if !sleep(ctx, pause) {
			return nil
		}
		if err := n.strike(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// strike makes a fault and heals it. A leader that cannot be named now is spared.
func (n *nemesis) strike(ctx context.Context, s Strike) error {
	victims, err := n.victimsOf(ctx, s.On)
	if err != nil {
		n.log.InfoContext(ctx, "fault spared", "kind", s.Kind, "on", s.On, "why", err)
		return nil
	}
	if s.Kind == cut && !n.cuts {
		s.Kind = pause
	}
	f := Fault{Kind: s.Kind, On: s.On, Begin: time.Now(), For: s.For}
	for _, p := range victims {
		f.Targets = append(f.Targets, p.Name)
	}
	n.log.InfoContext(ctx, "fault", "kind", f.Kind, "on", f.On, "targets", f.Targets, "for", f.For.Round(time.Millisecond))
	n.hold(victims...)
	defer n.hold()
	if err := n.each(victims, s.Kind, begin); err != nil {
		return fmt.Errorf("%s %v: %w", f.Kind, f.Targets, err)
	}
	n.faults = append(n.faults, f)
	sleep(ctx, f.For)
	if err := n.each(victims, s.Kind, heal); err != nil {
		return fmt.Errorf("heal %s of %v: %w", f.Kind, f.Targets, err)
	}
	return nil
}

// begin and heal are the two halves of a fault.
const (
	begin = iota
	heal
)

// each does it to all victims at once.
func (n *nemesis) each(victims []*cluster.Process, kind string, half int) error {
	var wg sync.WaitGroup
	errs := make([]error, len(victims))
	for i, p := range victims {
		wg.Go(func() { errs[i] = n.halves(kind, p)[half]() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (n *nemesis) halves(kind string, p *cluster.Process) [2]func() error {
	switch kind {
	case pause:
		return [2]func() error{p.Pause, p.Resume}
	case restart:
		return [2]func() error{func() error { return forgiving(p) }, p.Start}
	case cut:
		return [2]func() error{func() error { return n.cluster.Cut(p.Name) }, func() error { return n.cluster.Heal(p.Name) }}
	}
	return [2]func() error{p.Kill, p.Start}
}

// forgiving stops a process and does not mind its exit code: what it cannot finish while others are away it may say.
func forgiving(p *cluster.Process) error {
	if err := p.Stop(); err != nil && p.Running() {
		return err
	}
	return nil
}

// sleep is false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
