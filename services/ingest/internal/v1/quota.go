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
	// reportFraction: a gateway tells the others what it has sent of a log when that is the limit's 64th part. So most builds cost nothing,
	// and a log becomes larger than its limit by a 64th part for each gateway, or restart of one, at most.
	reportFraction = 64
	// reportBackoff is the pause after the database did not answer. Until it does each gateway goes by its own count.
	reportBackoff = time.Second
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
	return &logQuota{limit: limit, report: report, log: log, dropped: dropped, byBuild: map[string]*usedQuota{}}, nil
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

	mu      sync.Mutex
	byBuild map[string]*usedQuota
}

// usedQuota is what is known of the log of a build's current attempt.
type usedQuota struct {
	attempt int32
	// reported is what all gateways had reported when this one last did; local is what it has sent since.
	reported, local loglimit.Limit
	reporting       bool
	reportAt        time.Time
	// over: the limit is reached. said: the log says so, by this gateway's word.
	over, noticed bool
	dropped       int64
}

// take says how many of some lines are sent, and counts them and those that are not. over says that the log has reached its limit.
func (s *logQuota) admit(ctx context.Context, id string, attempt int32, lines []*eventsv1.LogLine) (n int, over bool) {
	used, n, over, more := s.count(id, attempt, lines)
	if left := int64(len(lines) - n); left > 0 {
		s.dropped.Add(ctx, left)
	}
	if more.Lines > 0 {
		s.shareCount(ctx, id, used, more)
	}
	return n, over
}

// count also takes what is to be reported to the others now, if it is enough; then this call is the one to tell.
func (s *logQuota) count(id string, attempt int32, lines []*eventsv1.LogLine) (used *usedQuota, n int, over bool, more loglimit.Limit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	used = s.get(id, attempt)
	for n < len(lines) && !used.over {
		size := int64(len(lines[n].GetText()))
		if used.reported.Lines+used.local.Lines+1 > s.limit.Lines || used.reported.Bytes+used.local.Bytes+size > s.limit.Bytes {
			used.over = true
			break
		}
		used.local.Lines++
		used.local.Bytes += size
		n++
	}
	used.dropped += int64(len(lines) - n)
	enough := used.local.Lines*reportFraction >= s.limit.Lines || used.local.Bytes*reportFraction >= s.limit.Bytes
	if enough && !used.reporting && time.Now().After(used.reportAt) {
		used.reporting, more = true, used.local
	}
	return used, n, used.over, more
}

// get is called with mu held.
func (s *logQuota) get(id string, attempt int32) *usedQuota {
	used := s.byBuild[id]
	if used == nil || used.attempt != attempt {
		if len(s.byBuild) >= maxQuotas {
			clear(s.byBuild)
		}
		used = &usedQuota{attempt: attempt}
		s.byBuild[id] = used
	}
	return used
}

// share tells the others, and hears what they have reported.
func (s *logQuota) shareCount(ctx context.Context, id string, used *usedQuota, more loglimit.Limit) {
	sum, err := s.report(ctx, id, used.attempt, more, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	used.reporting = false
	if err != nil {
		used.reportAt = time.Now().Add(reportBackoff)
		s.log.WarnContext(ctx, "report log size failed", "build_id", id, "err", err)
		return
	}
	used.reported = sum
	used.local.Lines -= more.Lines
	used.local.Bytes -= more.Bytes
}

// noticePending says whether this gateway has not yet said in the log that the limit is reached.
func (s *logQuota) noticePending(id string, attempt int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.get(id, attempt).noticed
}

func (s *logQuota) noticeLogged(id string, attempt int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get(id, attempt).noticed = true
}

// forget ends the count of a build that has ended.
func (s *logQuota) forget(ctx context.Context, id string) {
	s.mu.Lock()
	used := s.byBuild[id]
	delete(s.byBuild, id)
	s.mu.Unlock()
	if used != nil && used.dropped > 0 {
		s.log.InfoContext(ctx, "log lines over the limit dropped", "build_id", id, "attempt", used.attempt, "lines", used.dropped)
	}
}
