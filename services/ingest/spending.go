package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/loglimit"
)

const (
	// shares: a gateway tells the others what it has sent of a log when that is the limit's 64th part. So most builds cost nothing,
	// and a log becomes larger than its limit by a 64th part for each gateway, or restart of one, at most.
	shares = 64
	// tellAgain is the pause after the database did not answer. Until it does each gateway goes by its own count.
	tellAgain = time.Second
	// maxSpendings bounds the logs that are counted at once; forgetting one costs a 64th part of a limit.
	maxSpendings = 20_000
	// keepLogSizes is how long lines may lie in the stream.
	keepLogSizes = 8 * 24 * time.Hour
)

func newSpendings(limit loglimit.Limit, tell addSize, log *slog.Logger) (*spendings, error) {
	dropped, err := otel.Meter("github.com/expo-free-agent/freeagent/services/ingest").Int64Counter("freeagent.ingest.log_lines_dropped",
		metric.WithDescription("Log lines of workers of API v1 that were left out beyond the limit of a log."))
	if err != nil {
		return nil, fmt.Errorf("counter of log lines: %w", err)
	}
	return &spendings{limit: limit, tell: tell, log: log, dropped: dropped, of: map[string]*spending{}}, nil
}

// addSize adds to what all gateways have told of a log, and gives the sum.
type addSize func(ctx context.Context, buildID string, attempt int32, more loglimit.Limit, at time.Time) (loglimit.Limit, error)

// spendings count the lines that are taken from workers of API v1, which keep to no limit of their own. Any gateway may get any
// of a build's posts; they share their counts in the database, now and then. It is safe for concurrent use.
type spendings struct {
	limit   loglimit.Limit
	tell    addSize
	log     *slog.Logger
	dropped metric.Int64Counter

	mu sync.Mutex
	of map[string]*spending
}

// spending is what is known of the log of a build's current attempt.
type spending struct {
	attempt int32
	// told is what all gateways had told when this one last did; own is what it has sent since.
	told, own loglimit.Limit
	telling   bool
	tellAt    time.Time
	// over: the limit is reached. said: the log says so, by this gateway's word.
	over, said bool
	dropped    int64
}

// take says how many of some lines are sent, and counts them and those that are not. over says that the log has reached its limit.
func (s *spendings) take(ctx context.Context, id string, attempt int32, lines []*eventsv1.LogLine) (n int, over bool) {
	of, n, over, more := s.count(id, attempt, lines)
	if left := int64(len(lines) - n); left > 0 {
		s.dropped.Add(ctx, left)
	}
	if more.Lines > 0 {
		s.share(ctx, id, of, more)
	}
	return n, over
}

// count also takes what is to be told to the others now, if it is enough; then this call is the one to tell.
func (s *spendings) count(id string, attempt int32, lines []*eventsv1.LogLine) (of *spending, n int, over bool, more loglimit.Limit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of = s.get(id, attempt)
	for n < len(lines) && !of.over {
		size := int64(len(lines[n].GetText()))
		if of.told.Lines+of.own.Lines+1 > s.limit.Lines || of.told.Bytes+of.own.Bytes+size > s.limit.Bytes {
			of.over = true
			break
		}
		of.own.Lines++
		of.own.Bytes += size
		n++
	}
	of.dropped += int64(len(lines) - n)
	enough := of.own.Lines*shares >= s.limit.Lines || of.own.Bytes*shares >= s.limit.Bytes
	if enough && !of.telling && time.Now().After(of.tellAt) {
		of.telling, more = true, of.own
	}
	return of, n, of.over, more
}

// get is called with mu held.
func (s *spendings) get(id string, attempt int32) *spending {
	of := s.of[id]
	if of == nil || of.attempt != attempt {
		if len(s.of) >= maxSpendings {
			clear(s.of)
		}
		of = &spending{attempt: attempt}
		s.of[id] = of
	}
	return of
}

// share tells the others, and hears what they have told.
func (s *spendings) share(ctx context.Context, id string, of *spending, more loglimit.Limit) {
	sum, err := s.tell(ctx, id, of.attempt, more, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	of.telling = false
	if err != nil {
		of.tellAt = time.Now().Add(tellAgain)
		s.log.WarnContext(ctx, "size of a log not told to the other gateways, later lines try again", "build_id", id, "err", err)
		return
	}
	of.told = sum
	of.own.Lines -= more.Lines
	of.own.Bytes -= more.Bytes
}

// unsaid says whether this gateway has not yet said in the log that the limit is reached.
func (s *spendings) unsaid(id string, attempt int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.get(id, attempt).said
}

func (s *spendings) said(id string, attempt int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get(id, attempt).said = true
}

// forget ends the count of a build that has ended.
func (s *spendings) forget(ctx context.Context, id string) {
	s.mu.Lock()
	of := s.of[id]
	delete(s.of, id)
	s.mu.Unlock()
	if of != nil && of.dropped > 0 {
		s.log.InfoContext(ctx, "log lines beyond the limit were left out here", "build_id", id, "attempt", of.attempt, "lines", of.dropped)
	}
}
