package stats

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

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Stats returns statistics by day.
func (c *Counter) Stats(ctx context.Context, req *monitorv1.StatsRequest) (*monitorv1.StatsResponse, error) {
	from, err1 := time.Parse(time.DateOnly, req.GetFromDay())
	to, err2 := time.Parse(time.DateOnly, req.GetToDay())
	if err1 != nil || err2 != nil || to.Before(from) || to.Sub(from) > maxDays*day {
		return nil, fmt.Errorf("%w: from %.20q to %.20q, want days such as 2026-11-26, at most %d", build.ErrInvalid, req.GetFromDay(), req.GetToDay(), maxDays)
	}
	r := store.Range{From: req.GetFromDay(), To: req.GetToDay(), Project: req.GetProject()}
	counts, err := c.store.Counts(ctx, r)
	if err != nil {
		return nil, err
	}
	spreads, err := c.store.Spreads(ctx, r)
	if err != nil {
		return nil, err
	}
	resp := &monitorv1.StatsResponse{Total: dayStats("", counts, spreads), Stages: stageStats(spreads)}
	for d := from; !d.After(to); d = d.Add(day) {
		resp.Days = append(resp.Days, dayStats(d.Format(time.DateOnly), counts, spreads))
	}
	ids, attempts, busy, err := c.store.WorkersBusy(ctx, r)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		resp.Workers = append(resp.Workers, &monitorv1.WorkerStats{WorkerId: id, Attempts: attempts[i], BusyMs: busy[i]})
	}
	return resp, nil
}

// dayStats returns those of one day; of all days if day is empty.
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

// spreadOf computes quantiles from buckets; nil if there are none.
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
				return int64(math.Pow(growth, float64(b.bucket)+0.5))
			}
		}
		return 0
	}
	return &monitorv1.Spread{Count: n, MeanMs: sum / n, P50Ms: quantile(0.5), P95Ms: quantile(0.95)}
}

// Today returns how many builds completed since midnight UTC.
func (c *Counter) Today(ctx context.Context, _ *monitorv1.TodayRequest) (*monitorv1.TodayResponse, error) {
	today := time.Now().UTC().Format(time.DateOnly)
	counts, err := c.store.Counts(ctx, store.Range{From: today, To: today})
	if err != nil {
		return nil, err
	}
	return &monitorv1.TodayResponse{Completed: counts[store.Count{Day: today, Kind: kindCompleted}]}, nil
}

// RebuildStats counts again the whole days that the stream of events still holds; earlier days stay as they are. It is for
// administrators, after a fault. It returns build.ErrRebuilding until the events of an earlier call are read again.
func (c *Counter) RebuildStats(ctx context.Context, _ *monitorv1.RebuildStatsRequest) (*monitorv1.RebuildStatsResponse, error) {
	stream, err := c.js.Stream(ctx, bus.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("%w: open the events: %w", build.ErrUnavailable, err)
	}
	if stream.CachedInfo().State.Msgs == 0 {
		return &monitorv1.RebuildStatsResponse{}, nil
	}
	switch _, err := stream.Consumer(ctx, consumer().Durable); {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, build.ErrRebuilding
	case err != nil:
		return nil, fmt.Errorf("%w: look for the consumer of events: %w", build.ErrUnavailable, err)
	}
	first := stream.CachedInfo().State.FirstTime.UTC()
	from := first.Truncate(day)
	gone, err := c.store.CountedBetween(ctx, from, first.Add(-publishTime))
	if err != nil {
		return nil, err
	}
	if gone > 0 { // some events of that day are gone
		from = from.Add(day)
	}
	if err := c.store.Forget(ctx, from); err != nil {
		return nil, err
	}
	// The loop makes a new consumer, which reads everything again. Events that are still marked as counted are not counted again.
	err = c.js.DeleteConsumer(ctx, bus.EventsStream, consumer().Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) { // another call was faster
		return nil, build.ErrRebuilding
	}
	if err != nil {
		return nil, fmt.Errorf("%w: begin anew: %w", build.ErrUnavailable, err)
	}
	c.log.InfoContext(ctx, "counting statistics again", "from", from.Format(time.DateOnly))
	return &monitorv1.RebuildStatsResponse{FromDay: from.Format(time.DateOnly)}, nil
}
