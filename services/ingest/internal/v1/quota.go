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
	// A gateway reports what it has accepted of a log to the others at every reportFraction-th part
	// of the limit. So most builds cost nothing, and a log exceeds its limit by at most that part
	// for each gateway, or restart of one.
	reportFraction = 64
	// reportBackoff is the delay after the database was unavailable. Until then each gateway uses
	// its own count.
	reportBackoff = time.Second
	// maxQuotas bounds the logs that are counted at once. Dropping one costs a reportFraction-th
	// part of a limit.
	maxQuotas = 20_000
	// LogSizeTTL is how long the size of a log is kept; lines may stay in the stream for that long.
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

// addSize adds to the reported size of a log and returns the sum over all gateways.
type addSize func(ctx context.Context, buildID string, attempt int32, more loglimit.Limit, at time.Time) (loglimit.Limit, error)

// logQuota enforces the log limit on workers of API v1, which have none of their own. The requests
// of a build may reach any gateway, so gateways share their counts in the database from time to
// time. It is safe for concurrent use.
type logQuota struct {
	limit   loglimit.Limit
	report  addSize
	log     *slog.Logger
	dropped metric.Int64Counter

	mu      sync.Mutex
	byBuild map[string]*usedQuota
}

// usedQuota is the size of the log of a build's current attempt.
type usedQuota struct {
	attempt int32
	// reported is the sum over all gateways at this one's last report; local is what it has
	// accepted since.
	reported, local loglimit.Limit
	reporting       bool
	reportAt        time.Time
	// over means that the limit is reached, noticed that this gateway has logged the notice.
	over, noticed bool
	dropped       int64
}

// admit returns how many of the lines fit into the quota and counts them. over reports that the log
// has reached its limit.
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

// count counts the lines. more is what the caller must report to the other gateways; zero if it is
// too little yet.
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

// get returns the quota of an attempt. The caller holds mu.
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

// shareCount reports to the other gateways and reads what they have reported.
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

// noticePending reports whether this gateway has yet to log that the limit is reached.
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

// forget drops the count of an ended build.
func (s *logQuota) forget(ctx context.Context, id string) {
	s.mu.Lock()
	used := s.byBuild[id]
	delete(s.byBuild, id)
	s.mu.Unlock()
	if used != nil && used.dropped > 0 {
		s.log.InfoContext(ctx, "log lines over the limit dropped", "build_id", id, "attempt", used.attempt, "lines", used.dropped)
	}
}
