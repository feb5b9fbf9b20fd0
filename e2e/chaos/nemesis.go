package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
)

// Fault is one thing that was done to the cluster.
type Fault struct {
	// Kind is kill (SIGKILL, then started again), pause (SIGSTOP), restart (SIGTERM, then started again) or cut (off the network).
	Kind   string        `json:"kind"`
	Target string        `json:"target"`
	Begin  time.Time     `json:"begin"`
	For    time.Duration `json:"for_ns"`
	// Down is how long clients were not served, from the fault until they were again; 0 if they always were.
	Down time.Duration `json:"down_ns"`
}

// The kinds of faults.
const (
	kill    = "kill"
	pause   = "pause"
	restart = "restart"
	cut     = "cut"
)

// nemesis makes one fault after the other: what they are is drawn from the seed.
type nemesis struct {
	cluster *cluster.Cluster
	cuts    bool
	rng     *rand.Rand
	log     *slog.Logger
	faults  []Fault

	mu sync.Mutex
	// victim is down because of us.
	victim string
}

// holds says that a process is down because of us.
func (n *nemesis) holds(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.victim == name
}

func (n *nemesis) hold(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.victim = name
}

// least and most are how long a fault lasts. The most is longer than the leases of the chaos run, so that they are lost, too.
const (
	least = 500 * time.Millisecond
	most  = 12 * time.Second
	// rest is the time between faults at most, for work to be done.
	rest = 3 * time.Second
)

// run goes on until ctx ends or count faults were made. The last one is healed when it returns.
func (n *nemesis) run(ctx context.Context, count int) error {
	for range count {
		if !sleep(ctx, time.Duration(n.rng.Int64N(int64(rest)))) {
			return nil
		}
		if err := n.strike(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (n *nemesis) strike(ctx context.Context) error {
	kinds := []string{kill, kill, pause, restart}
	if n.cuts {
		kinds = append(kinds, cut, cut)
	}
	targets := n.cluster.Processes()
	p := targets[n.rng.IntN(len(targets))]
	f := Fault{
		Kind: kinds[n.rng.IntN(len(kinds))], Target: p.Name, Begin: time.Now(),
		For: least + time.Duration(n.rng.Int64N(int64(most-least))),
	}
	n.log.InfoContext(ctx, "fault", "kind", f.Kind, "target", f.Target, "for", f.For.Round(time.Millisecond))
	n.hold(p.Name)
	defer n.hold("")
	begin, heal := n.faultOf(f.Kind, p)
	if err := begin(); err != nil {
		return fmt.Errorf("%s %s: %w", f.Kind, f.Target, err)
	}
	n.faults = append(n.faults, f)
	sleep(ctx, f.For)
	if err := heal(); err != nil {
		return fmt.Errorf("heal %s of %s: %w", f.Kind, f.Target, err)
	}
	return nil
}

func (n *nemesis) faultOf(kind string, p *cluster.Process) (begin, heal func() error) {
	switch kind {
	case pause:
		return p.Pause, p.Resume
	case restart:
		return func() error { return forgiving(p) }, p.Start
	case cut:
		return func() error { return n.cluster.Cut(p.Name) }, func() error { return n.cluster.Heal(p.Name) }
	}
	return p.Kill, p.Start
}

// forgiving stops a process and does not mind its exit code: what it cannot finish while others are away it may say.
func forgiving(p *cluster.Process) error {
	if err := p.Stop(); err != nil && p.Running() {
		return err //nolint:wrapcheck // names the process
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

// supervise starts what ended by itself, as systemd or Kubernetes do, until ctx ends; it gives what had to be started.
func supervise(ctx context.Context, c *cluster.Cluster, busy func(name string) bool, log *slog.Logger) (ended []string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ended
		case <-tick.C:
		}
		for _, p := range c.Processes() {
			if p.Running() || busy(p.Name) {
				continue
			}
			log.WarnContext(ctx, "process ended by itself", "process", p.Name)
			if err := p.Start(); err == nil && !slices.Contains(ended, p.Name) {
				ended = append(ended, p.Name)
			}
		}
	}
}
