package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Strike is a fault to be made.
type Strike struct {
	Kind, On string
	For      time.Duration
}

// What a fault may be made on: a process of a kind, or one of these.
const (
	busLeader    = "nats-leader"   // of the whole bus
	eventsLeader = "events-leader" // of the stream of events
	queueLeader  = "queue-leader"  // of the stream of hand-outs
	wholeBus     = "all-nats"      // every node at once
)

// targets are all names that a Strike's On may have, beside a single process's.
func targets() []string {
	return []string{
		"nats", busLeader, eventsLeader, queueLeader, wholeBus, "postgres", "s3", "scheduler", "monitor", "artifact", "ingest", "worker",
	}
}

// kinds are drawn with these weights.
func kinds() []string { return []string{kill, kill, pause, restart, cut, cut} }

// draw throws the dice always as often, so that a seed's faults are the same on every machine.
func (n *nemesis) draw() Strike {
	on, kind := targets(), kinds()
	return Strike{
		On: on[n.rng.IntN(len(on))], Kind: kind[n.rng.IntN(len(kind))],
		For: least + time.Duration(n.rng.Int64N(int64(most-least))),
	}
}

// victimsOf finds the processes.
func (n *nemesis) victimsOf(ctx context.Context, on string) ([]*cluster.Process, error) {
	name, err := "", error(nil)
	switch on {
	case busLeader:
		name, err = n.cluster.MetaLeader(ctx)
	case eventsLeader:
		name, err = n.cluster.StreamLeader(ctx, bus.EventsStream)
	case queueLeader:
		name, err = n.cluster.StreamLeader(ctx, bus.QueueStream)
	default:
		name = on
	}
	if err != nil {
		return nil, err
	}
	var found []*cluster.Process
	for _, p := range n.cluster.Processes() {
		if p.Name == name || p.Kind == name || on == wholeBus && p.Kind == "nats" {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no process is called %q", name)
	}
	if on != wholeBus {
		i := n.rng.IntN(len(found))
		found = found[i : i+1]
	}
	return found, nil
}

// ParseScript reads faults that are to be made one after the other: kind:on:duration, separated by commas.
func ParseScript(text string) (script []Strike, err error) {
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		parts := strings.Split(strings.TrimSpace(word), ":")
		if len(parts) != 3 || !slices.Contains(kinds(), parts[0]) {
			return nil, fmt.Errorf("fault %q: want kind:on:duration, such as kill:scheduler:2s; kinds are kill, pause, restart and cut", word)
		}
		d, err := time.ParseDuration(parts[2])
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", word, err)
		}
		script = append(script, Strike{Kind: parts[0], On: parts[1], For: d})
	}
	return script, nil
}
