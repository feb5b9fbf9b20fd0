package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Event is a line of the event log that begins or ends an attempt, or a build.
type Event struct {
	Name    string
	Attempt int
	At      time.Time
}

// ends says that the event ends an attempt.
func (e Event) ends() bool { return e.Name != string(bus.Assigned) }

// final says that it ends the build, too.
func (e Event) final() bool { return e.ends() && e.Name != string(bus.Retried) }

// logged are the events that are looked at.
func logged() []bus.Event {
	return []bus.Event{bus.Assigned, bus.Retried, bus.Completed, bus.Failed, bus.Cancelled}
}

// eventLog reads what each build has had, each event once by its id: a stream whose memory of ids has run out may hold one twice.
func eventLog(ctx context.Context, cl *cluster.Cluster) (map[string][]Event, error) {
	nc, err := cl.Bus("chaos")
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	it, pending, err := openLog(ctx, nc)
	if err != nil {
		return nil, err
	}
	defer it.Stop()
	found, seen := map[string][]Event{}, map[string]bool{}
	for range pending {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		id := m.Headers().Get(bus.HeaderID)
		if seen[id] {
			continue
		}
		seen[id] = true
		b, e, err := parseEvent(m)
		if err != nil {
			return nil, err
		}
		found[b] = append(found[b], e)
	}
	return found, nil
}

// openLog reads from the first event on; pending is how many there are.
func openLog(ctx context.Context, nc *nats.Conn) (it jetstream.MessagesContext, pending uint64, err error) {
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, 0, err
	}
	var subjects []string
	for _, e := range logged() {
		subjects = append(subjects, bus.BuildSubjects(e))
	}
	cons, err := js.OrderedConsumer(ctx, bus.EventsStream, jetstream.OrderedConsumerConfig{FilterSubjects: subjects})
	if err != nil {
		return nil, 0, err
	}
	it, err = cons.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(10*time.Second))
	return it, cons.CachedInfo().NumPending, err
}

func parseEvent(m jetstream.Msg) (id string, e Event, err error) {
	id, name, err := bus.ParseEvent(m.Subject())
	if err != nil {
		return "", e, err
	}
	e = Event{Name: string(name)}
	var at int64
	switch name {
	case bus.Assigned:
		var p eventsv1.BuildAssigned
		err = proto.Unmarshal(m.Data(), &p)
		e.Attempt, at = int(p.GetAttempt()), p.GetAssignedAtMs()
	case bus.Retried:
		var p eventsv1.BuildRetried
		err = proto.Unmarshal(m.Data(), &p)
		e.Attempt, at = int(p.GetLostAttempt()), p.GetAtMs()
	case bus.Completed:
		var p eventsv1.BuildCompleted
		err = proto.Unmarshal(m.Data(), &p)
		e.Attempt, at = int(p.GetAttempt()), p.GetFinishedAtMs()
	case bus.Failed:
		var p eventsv1.BuildFailed
		err = proto.Unmarshal(m.Data(), &p)
		e.Attempt, at = int(p.GetAttempt()), p.GetFinishedAtMs()
	default:
		var p eventsv1.BuildCancelled
		err = proto.Unmarshal(m.Data(), &p)
		e.Attempt, at = int(p.GetAttempt()), p.GetFinishedAtMs()
	}
	if err != nil {
		return "", e, fmt.Errorf("event %s: %w", m.Subject(), err)
	}
	e.At = time.UnixMilli(at)
	return id, e, nil
}
