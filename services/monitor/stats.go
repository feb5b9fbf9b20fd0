package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// The kinds that are counted by day and project.
const (
	kindSubmitted = "submitted"
	kindCompleted = "completed"
	kindFailed    = "failed"
	kindCancelled = "cancelled"
	kindLost      = "lost"
)

// What durations are kept of. Stages have their name behind it.
const (
	ofBuilds = "build"
	ofWaits  = "wait"
	ofStage  = "stage:"
)

const (
	// statsGrowth of a bucket of durations to the next: a quantile is right to a tenth.
	statsGrowth = 1.1
	// maxDays of one question.
	maxDays = 400
	// keepCounted is longer than the stream of events keeps them.
	keepCounted = 35 * day
	// publishTime is what an event takes at most from its own time to the stream's, when the bus is there.
	publishTime = time.Minute
	// statsBatch and the others collect events for one transaction.
	statsBatch = 200
	statsMost  = 2000
	statsWait  = 100 * time.Millisecond
)

// statsConsumer hears whatever ends or begins. It is apart from the one that watches leases: figures may wait, verdicts may not.
func statsConsumer() bus.Consumer {
	return bus.Consumer{Stream: bus.EventsStream, Durable: "monitor-stats", Filters: []string{
		bus.BuildSubjects(bus.Submitted), bus.BuildSubjects(bus.Assigned), bus.BuildSubjects(bus.Stage), bus.BuildSubjects(bus.Retried),
		bus.BuildSubjects(bus.Completed), bus.BuildSubjects(bus.Failed), bus.BuildSubjects(bus.Cancelled),
	}}
}

func (m *Monitor) statsLoop(ctx context.Context) error {
	return m.retried(ctx, func() error {
		return bus.ConsumeBatches(ctx, m.js, statsConsumer(), bus.Batch{Size: statsBatch, Most: statsMost, Wait: statsWait}, m.countEvents, m.log)
	})
}

func (m *Monitor) countEvents(ctx context.Context, msgs []jetstream.Msg) error {
	all := make([]store.Contribution, 0, len(msgs))
	for _, msg := range msgs {
		c, err := contribution(msg.Subject(), msg.Data())
		if err != nil {
			m.log.WarnContext(ctx, "event not counted", "subject", msg.Subject(), "err", err)
			continue
		}
		if c.EventID = msg.Headers().Get(bus.HeaderID); c.EventID != "" {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return m.store.CountEvents(ctx, all)
}

// figures gathers what one event says.
type figures struct {
	store.Contribution
	day, project string
}

func newFigures(atMs int64, project string) *figures {
	at := time.UnixMilli(atMs).UTC()
	return &figures{
		Contribution: store.Contribution{At: at, Spreads: map[store.Spread]int64{}, Busy: map[store.Busy]int64{}},
		day:          at.Format(time.DateOnly), project: project,
	}
}

func (f *figures) count(kind string) *figures {
	f.Counts = append(f.Counts, store.Count{Day: f.day, Project: f.project, Kind: kind})
	return f
}

// took adds a duration, if both its ends are known.
func (f *figures) took(what string, fromMs, toMs int64) *figures {
	if fromMs > 0 && toMs > 0 {
		ms := max(0, toMs-fromMs)
		f.Spreads[store.Spread{Day: f.day, Project: f.project, What: what, Bucket: statsBucket(ms)}] = ms
	}
	return f
}

func (f *figures) busy(worker string, fromMs, toMs int64) *figures {
	if worker != "" && fromMs > 0 {
		f.Busy[store.Busy{Day: f.day, Project: f.project, WorkerID: worker}] = max(0, toMs-fromMs)
	}
	return f
}

func (f *figures) stage(name string, fromMs, toMs int64) *figures {
	if name != "" {
		f.took(ofStage+name, fromMs, toMs)
	}
	return f
}

func statsBucket(ms int64) int64 {
	return int64(math.Floor(math.Log(float64(max(1, ms))) / math.Log(statsGrowth)))
}

// contribution says what an event adds to the figures. All that it needs is in the event.
func contribution(subject string, data []byte) (store.Contribution, error) {
	_, event, err := bus.ParseEvent(subject)
	if err != nil {
		return store.Contribution{}, err
	}
	switch event {
	case bus.Submitted:
		return figuresOf(data, func(e *eventsv1.BuildSubmitted) *figures {
			return newFigures(e.GetSubmittedAtMs(), e.GetProject()).count(kindSubmitted)
		})
	case bus.Assigned:
		return figuresOf(data, func(e *eventsv1.BuildAssigned) *figures {
			f := newFigures(e.GetAssignedAtMs(), e.GetProject())
			if e.GetAttempt() == 1 {
				f.took(ofWaits, e.GetSubmittedAtMs(), e.GetAssignedAtMs())
			}
			return f
		})
	case bus.Stage:
		return figuresOf(data, func(e *eventsv1.BuildStageChanged) *figures {
			return newFigures(e.GetAtMs(), e.GetProject()).stage(e.GetEndedStage(), e.GetEndedStageAtMs(), e.GetAtMs())
		})
	case bus.Retried:
		return figuresOf(data, func(e *eventsv1.BuildRetried) *figures {
			return newFigures(e.GetAtMs(), e.GetProject()).count(kindLost).busy(e.GetWorkerId(), e.GetAssignedAtMs(), e.GetAtMs())
		})
	case bus.Completed:
		return figuresOf(data, func(e *eventsv1.BuildCompleted) *figures {
			return ended(kindCompleted, e.GetLife(), e.GetWorkerId(), e.GetFinishedAtMs())
		})
	case bus.Failed:
		return figuresOf(data, func(e *eventsv1.BuildFailed) *figures {
			return ended(kindFailed, e.GetLife(), e.GetWorkerId(), e.GetFinishedAtMs())
		})
	case bus.Cancelled:
		return figuresOf(data, func(e *eventsv1.BuildCancelled) *figures {
			return newFigures(e.GetFinishedAtMs(), e.GetLife().GetProject()).count(kindCancelled).
				busy(e.GetWorkerId(), e.GetLife().GetAssignedAtMs(), e.GetFinishedAtMs())
		})
	default:
		return store.Contribution{}, fmt.Errorf("%w: event %s", build.ErrInvalid, event)
	}
}

// ended is of a build that came to its own end: its duration, and that of its last stage, count.
func ended(kind string, l *eventsv1.Life, worker string, atMs int64) *figures {
	return newFigures(atMs, l.GetProject()).count(kind).took(ofBuilds, l.GetAssignedAtMs(), atMs).
		stage(l.GetStage(), l.GetStageAtMs(), atMs).busy(worker, l.GetAssignedAtMs(), atMs)
}

func figuresOf[E any, P interface {
	*E
	proto.Message
}](data []byte, f func(P) *figures) (store.Contribution, error) {
	e := P(new(E))
	if err := bus.Decode(data, e); err != nil {
		return store.Contribution{}, fmt.Errorf("unpack: %w", err)
	}
	return f(e).Contribution, nil
}

// Stats returns the figures of days.
func (m *Monitor) Stats(ctx context.Context, req *monitorv1.StatsRequest) (*monitorv1.StatsResponse, error) {
	from, err1 := time.Parse(time.DateOnly, req.GetFromDay())
	to, err2 := time.Parse(time.DateOnly, req.GetToDay())
	if err1 != nil || err2 != nil || to.Before(from) || to.Sub(from) > maxDays*day {
		return nil, fmt.Errorf("%w: from %.20q to %.20q, want days such as 2026-11-26, at most %d", build.ErrInvalid, req.GetFromDay(), req.GetToDay(), maxDays)
	}
	r := store.Range{From: req.GetFromDay(), To: req.GetToDay(), Project: req.GetProject()}
	counts, err := m.store.Counts(ctx, r)
	if err != nil {
		return nil, err
	}
	spreads, err := m.store.Spreads(ctx, r)
	if err != nil {
		return nil, err
	}
	resp := &monitorv1.StatsResponse{Total: dayStats("", counts, spreads), Stages: stageStats(spreads)}
	for d := from; !d.After(to); d = d.Add(day) {
		resp.Days = append(resp.Days, dayStats(d.Format(time.DateOnly), counts, spreads))
	}
	ids, attempts, busy, err := m.store.WorkersBusy(ctx, r)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		resp.Workers = append(resp.Workers, &monitorv1.WorkerStats{WorkerId: id, Attempts: attempts[i], BusyMs: busy[i]})
	}
	return resp, nil
}

// dayStats are those of one day, of all if it is empty.
func dayStats(day string, counts map[store.Count]int64, spreads map[store.Spread][2]int64) *monitorv1.DayStats {
	s := &monitorv1.DayStats{Day: day}
	for k, n := range counts {
		if day == "" || k.Day == day {
			switch k.Kind {
			case kindSubmitted:
				s.Submitted += n
			case kindCompleted:
				s.Completed += n
			case kindFailed:
				s.Failed += n
			case kindCancelled:
				s.Cancelled += n
			case kindLost:
				s.LostAttempts += n
			}
		}
	}
	s.Duration, s.QueueWait = spreadOf(spreads, day, ofBuilds), spreadOf(spreads, day, ofWaits)
	return s
}

func stageStats(spreads map[store.Spread][2]int64) []*monitorv1.StageStats {
	var names []string
	for k := range spreads {
		if name, ok := strings.CutPrefix(k.What, ofStage); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	all := make([]*monitorv1.StageStats, len(names))
	for i, name := range names {
		all[i] = &monitorv1.StageStats{Stage: name, Duration: spreadOf(spreads, "", ofStage+name)}
	}
	return all
}

// spreadOf draws quantiles from buckets; absent if there is nothing.
func spreadOf(spreads map[store.Spread][2]int64, day, what string) *monitorv1.Spread {
	type bucket struct{ bucket, count int64 }
	var all []bucket
	var n, sum int64
	for k, v := range spreads {
		if k.What == what && (day == "" || k.Day == day) {
			all = append(all, bucket{k.Bucket, v[0]})
			n, sum = n+v[0], sum+v[1]
		}
	}
	if n == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.bucket, b.bucket) })
	quantile := func(q float64) int64 {
		rank, seen := int64(math.Ceil(q*float64(n))), int64(0)
		for _, b := range all {
			if seen += b.count; seen >= rank {
				// The geometric middle of the bucket.
				return int64(math.Pow(statsGrowth, float64(b.bucket)+0.5))
			}
		}
		return 0
	}
	return &monitorv1.Spread{Count: n, MeanMs: sum / n, P50Ms: quantile(0.5), P95Ms: quantile(0.95)}
}

// Today returns how many builds completed since midnight UTC.
func (m *Monitor) Today(ctx context.Context, _ *monitorv1.TodayRequest) (*monitorv1.TodayResponse, error) {
	today := m.now().Format(time.DateOnly)
	counts, err := m.store.Counts(ctx, store.Range{From: today, To: today})
	if err != nil {
		return nil, err
	}
	return &monitorv1.TodayResponse{Completed: counts[store.Count{Day: today, Kind: kindCompleted}]}, nil
}

// RebuildStats counts anew whatever the stream of events still holds in whole days; earlier days stay as they are, and without events
// all do. It is for administrators, after a fault. It returns build.ErrRebuilding until the events of an earlier call are read anew.
func (m *Monitor) RebuildStats(ctx context.Context, _ *monitorv1.RebuildStatsRequest) (*monitorv1.RebuildStatsResponse, error) {
	stream, err := m.js.Stream(ctx, bus.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("%w: open the events: %w", build.ErrUnavailable, err)
	}
	if stream.CachedInfo().State.Msgs == 0 {
		return &monitorv1.RebuildStatsResponse{}, nil
	}
	switch _, err := stream.Consumer(ctx, statsConsumer().Durable); {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, build.ErrRebuilding
	case err != nil:
		return nil, fmt.Errorf("%w: look for the consumer of events: %w", build.ErrUnavailable, err)
	}
	first := stream.CachedInfo().State.FirstTime.UTC()
	from := first.Truncate(day)
	gone, err := m.store.CountedBetween(ctx, from, first.Add(-publishTime))
	if err != nil {
		return nil, err
	}
	if gone > 0 { // of that day some events are not there any more
		from = from.Add(day)
	}
	if err := m.store.ForgetStats(ctx, from); err != nil {
		return nil, err
	}
	// Without its consumer the loop makes a new one, which hears everything again. What is left counted is not counted again.
	err = m.js.DeleteConsumer(ctx, bus.EventsStream, statsConsumer().Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) { // another call was faster
		return nil, build.ErrRebuilding
	}
	if err != nil {
		return nil, fmt.Errorf("%w: begin anew: %w", build.ErrUnavailable, err)
	}
	m.log.InfoContext(ctx, "figures are counted anew", "from", from.Format(time.DateOnly))
	return &monitorv1.RebuildStatsResponse{FromDay: from.Format(time.DateOnly)}, nil
}
