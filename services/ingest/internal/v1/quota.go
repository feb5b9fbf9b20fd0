package v1

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
)

const (
	// shares: a gateway tells the others what it has sent of a log when that is the limit's 64th part. So most builds cost nothing,
	// and a log becomes larger than its limit by a 64th part for each gateway, or restart of one, at most.
	shares = 64
	// reportAgain is the pause after the database did not answer. Until it does each gateway goes by its own count.
	reportAgain = time.Second
	// maxQuotas bounds the logs that are counted at once; forgetting one costs a 64th part of a limit.
	maxQuotas = 20_000
	// LogSizeTTL is how long lines may lie in the stream.
	LogSizeTTL = 8 * 24 * time.Hour
)

func newLogQuota(limit loglimit.Limit, report addSize, log *slog.Logger) (*logQuota, error) {
	dropped, err := otel.Meter("github.com/expo-free-agent/freeagent/services/ingest").Int64Counter("freeagent.ingest.log_lines_dropped",
		metric.WithDescription("Log lines of API v1 workers that were dropped because their log had reached its limit."))
	if err != nil {
		return nil, fmt.Errorf("counter of log lines: %w", err)
	}
	return &logQuota{limit: limit, report: report, log: log, dropped: dropped, of: map[string]*usedQuota{}}, nil
}

// addSize adds to what all gateways have reported of a log, and gives the sum.
type addSize func(ctx context.Context, buildID string, attempt int32, more loglimit.Limit, at time.Time) (loglimit.Limit, error)

// logQuota counts the lines that are taken from workers of API v1, which keep to no limit of their own. Any gateway may get any
// of a build's posts; they share their counts in the database, now and then. It is safe for concurrent use.
type logQuota struct {
	limit   loglimit.Limit
	report  addSize
	log     *slog.Logger
	dropped metric.Int64Counter

	mu sync.Mutex
	of map[string]*usedQuota
}

// usedQuota is what is known of the log of a build's current attempt.
type usedQuota struct {
	attempt int32
	// reported is what all gateways had reported when this one last did; local is what it has sent since.
	reported, local loglimit.Limit
	reporting       bool
	reportAt        time.Time
	// over: the limit is reached. said: the log says so, by this gateway's word.
	over, said bool
	dropped    int64
}

// take says how many of some lines are sent, and counts them and those that are not. over says that the log has reached its limit.
func (s *logQuota) take(ctx context.Context, id string, attempt int32, lines []*eventsv1.LogLine) (n int, over bool) {
	of, n, over, more := s.count(id, attempt, lines)
	if left := int64(len(lines) - n); left > 0 {
		s.dropped.Add(ctx, left)
	}
	if more.Lines > 0 {
		s.share(ctx, id, of, more)
	}
	return n, over
}

// count also takes what is to be reported to the others now, if it is enough; then this call is the one to tell.
func (s *logQuota) count(id string, attempt int32, lines []*eventsv1.LogLine) (of *usedQuota, n int, over bool, more loglimit.Limit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of = s.get(id, attempt)
	for n < len(lines) && !of.over {
		size := int64(len(lines[n].GetText()))
		if of.reported.Lines+of.local.Lines+1 > s.limit.Lines || of.reported.Bytes+of.local.Bytes+size > s.limit.Bytes {
			of.over = true
			break
		}
		of.local.Lines++
		of.local.Bytes += size
		n++
	}
	of.dropped += int64(len(lines) - n)
	enough := of.local.Lines*shares >= s.limit.Lines || of.local.Bytes*shares >= s.limit.Bytes
	if enough && !of.reporting && time.Now().After(of.reportAt) {
		of.reporting, more = true, of.local
	}
	return of, n, of.over, more
}

// get is called with mu held.
func (s *logQuota) get(id string, attempt int32) *usedQuota {
	of := s.of[id]
	if of == nil || of.attempt != attempt {
		if len(s.of) >= maxQuotas {
			clear(s.of)
		}
		of = &usedQuota{attempt: attempt}
		s.of[id] = of
	}
	return of
}

// share tells the others, and hears what they have reported.
func (s *logQuota) share(ctx context.Context, id string, of *usedQuota, more loglimit.Limit) {
	sum, err := s.report(ctx, id, of.attempt, more, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	of.reporting = false
	if err != nil {
		of.reportAt = time.Now().Add(reportAgain)
		s.log.WarnContext(ctx, "report log size failed", "build_id", id, "err", err)
		return
	}
	of.reported = sum
	of.local.Lines -= more.Lines
	of.local.Bytes -= more.Bytes
}

// noticePending says whether this gateway has not yet said in the log that the limit is reached.
func (s *logQuota) noticePending(id string, attempt int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.get(id, attempt).said
}

func (s *logQuota) said(id string, attempt int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get(id, attempt).said = true
}

// forget ends the count of a build that has ended.
func (s *logQuota) forget(ctx context.Context, id string) {
	s.mu.Lock()
	of := s.of[id]
	delete(s.of, id)
	s.mu.Unlock()
	if of != nil && of.dropped > 0 {
		s.log.InfoContext(ctx, "log lines over the limit dropped", "build_id", id, "attempt", of.attempt, "lines", of.dropped)
	}
}
