package stats

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// The kinds of events that are counted by day and project.
const (
	kindSubmitted = "submitted"
	kindCompleted = "completed"
	kindFailed    = "failed"
	kindCancelled = "cancelled"
	kindLost      = "lost"
)

// What has durations. The name of a stage follows ofStage.
const (
	ofBuilds = "build"
	ofWaits  = "wait"
	ofStage  = "stage:"
)

const (
	// growth of a bucket of durations to the next: a quantile is right to a tenth.
	growth = 1.1
	// maxDays of one request.
	maxDays = 400
	// publishTime bounds the time between an event and its place in the stream, while the bus is available.
	publishTime = time.Minute
	// batchSize, batchMost and batchWait collect events for one transaction.
	batchSize = 200
	batchMost = 2000
	batchWait = 100 * time.Millisecond

	day = 24 * time.Hour
)

// Durable is the name of the consumer of events.
const Durable = "monitor-stats"

// Counter counts events by day and answers statistics.
type Counter struct {
	store *store.Stats
	js    jetstream.JetStream
	log   *slog.Logger
}

// New returns a counter over a store.
func New(s *store.Stats, js jetstream.JetStream, log *slog.Logger) *Counter {
	return &Counter{store: s, js: js, log: log}
}

// consumer is another one than that of package watch: statistics may wait, verdicts may not.
func consumer() bus.Consumer {
	return bus.Consumer{Stream: bus.EventsStream, Durable: Durable, Filters: []string{
		bus.BuildSubjects(bus.Submitted), bus.BuildSubjects(bus.Assigned), bus.BuildSubjects(bus.Stage), bus.BuildSubjects(bus.Retried),
		bus.BuildSubjects(bus.Completed), bus.BuildSubjects(bus.Failed), bus.BuildSubjects(bus.Cancelled),
	}}
}

// Run counts events until ctx ends.
func (c *Counter) Run(ctx context.Context) error {
	return bus.ConsumeLoop(ctx, c.log, func() error {
		return bus.ConsumeBatches(ctx, c.js, consumer(), bus.Batch{Size: batchSize, Most: batchMost, Wait: batchWait}, c.countEvents, c.log)
	})
}

func (c *Counter) countEvents(ctx context.Context, msgs []jetstream.Msg) error {
	all := make([]store.Contribution, 0, len(msgs))
	for _, msg := range msgs {
		adds, err := contribution(msg.Subject(), msg.Data())
		if err != nil {
			c.log.WarnContext(ctx, "count event failed", "subject", msg.Subject(), "err", err)
			continue
		}
		if adds.EventID = msg.Headers().Get(bus.HeaderID); adds.EventID != "" {
			all = append(all, adds)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return c.store.CountEvents(ctx, all)
}

// entry is what one event adds.
type entry struct {
	store.Contribution
	day, project string
}

func newEntry(atMs int64, project string) *entry {
	at := time.UnixMilli(atMs).UTC()
	return &entry{
		Contribution: store.Contribution{At: at, Spreads: map[store.Spread]int64{}, Busy: map[store.Busy]int64{}},
		day:          at.Format(time.DateOnly), project: project,
	}
}

func (f *entry) count(kind string) *entry {
	f.Counts = append(f.Counts, store.Count{Day: f.day, Project: f.project, Kind: kind})
	return f
}

// took adds a duration if both its ends are known.
func (f *entry) took(what string, fromMs, toMs int64) *entry {
	if fromMs > 0 && toMs > 0 {
		ms := max(0, toMs-fromMs)
		f.Spreads[store.Spread{Day: f.day, Project: f.project, What: what, Bucket: bucketOf(ms)}] = ms
	}
	return f
}

func (f *entry) busy(worker string, fromMs, toMs int64) *entry {
	if worker != "" && fromMs > 0 {
		f.Busy[store.Busy{Day: f.day, Project: f.project, WorkerID: worker}] = max(0, toMs-fromMs)
	}
	return f
}

func (f *entry) stage(name string, fromMs, toMs int64) *entry {
	if name != "" {
		f.took(ofStage+name, fromMs, toMs)
	}
	return f
}

func bucketOf(ms int64) int64 {
	return int64(math.Floor(math.Log(float64(max(1, ms))) / math.Log(growth)))
}

// contribution returns what an event adds to the statistics.
func contribution(subject string, data []byte) (store.Contribution, error) {
	_, event, err := bus.ParseEvent(subject)
	if err != nil {
		return store.Contribution{}, err
	}
	switch event {
	case bus.Submitted:
		return entryOf(data, func(e *eventsv1.BuildSubmitted) *entry {
			return newEntry(e.GetSubmittedAtMs(), e.GetProject()).count(kindSubmitted)
		})
	case bus.Assigned:
		return entryOf(data, func(e *eventsv1.BuildAssigned) *entry {
			f := newEntry(e.GetAssignedAtMs(), e.GetProject())
			if e.GetAttempt() == 1 {
				f.took(ofWaits, e.GetSubmittedAtMs(), e.GetAssignedAtMs())
			}
			return f
		})
	case bus.Stage:
		return entryOf(data, func(e *eventsv1.BuildStageChanged) *entry {
			return newEntry(e.GetAtMs(), e.GetProject()).stage(e.GetEndedStage(), e.GetEndedStageAtMs(), e.GetAtMs())
		})
	case bus.Retried:
		return entryOf(data, func(e *eventsv1.BuildRetried) *entry {
			return newEntry(e.GetAtMs(), e.GetProject()).count(kindLost).busy(e.GetWorkerId(), e.GetAssignedAtMs(), e.GetAtMs())
		})
	case bus.Completed:
		return entryOf(data, func(e *eventsv1.BuildCompleted) *entry {
			return ended(kindCompleted, e.GetLife(), e.GetWorkerId(), e.GetFinishedAtMs())
		})
	case bus.Failed:
		return entryOf(data, func(e *eventsv1.BuildFailed) *entry {
			return ended(kindFailed, e.GetLife(), e.GetWorkerId(), e.GetFinishedAtMs())
		})
	case bus.Cancelled:
		return entryOf(data, func(e *eventsv1.BuildCancelled) *entry {
			return newEntry(e.GetFinishedAtMs(), e.GetLife().GetProject()).count(kindCancelled).
				busy(e.GetWorkerId(), e.GetLife().GetAssignedAtMs(), e.GetFinishedAtMs())
		})
	default:
		return store.Contribution{}, fmt.Errorf("%w: event %s", build.ErrInvalid, event)
	}
}

// ended is the entry of a build that completed or failed: its duration and that of its last stage count.
func ended(kind string, l *eventsv1.Life, worker string, atMs int64) *entry {
	return newEntry(atMs, l.GetProject()).count(kind).took(ofBuilds, l.GetAssignedAtMs(), atMs).
		stage(l.GetStage(), l.GetStageAtMs(), atMs).busy(worker, l.GetAssignedAtMs(), atMs)
}

func entryOf[E any, P interface {
	*E
	proto.Message
}](data []byte, f func(P) *entry) (store.Contribution, error) {
	e := P(new(E))
	if err := bus.Decode(data, e); err != nil {
		return store.Contribution{}, fmt.Errorf("unpack: %w", err)
	}
	return f(e).Contribution, nil
}
