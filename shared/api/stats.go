package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// StatsOptions choose days (2026-11-26, UTC, both included) and a project. The zero value is the last thirty days of all projects.
type StatsOptions struct{ From, To, Project string }

// Stats reads the figures of days.
func (c *Client) Stats(ctx context.Context, o StatsOptions) (s Stats, err error) {
	q := url.Values{}
	for name, value := range map[string]string{"from": o.From, "to": o.To, "project": o.Project} {
		if value != "" {
			q.Set(name, value)
		}
	}
	err = c.conn.call(ctx, http.MethodGet, Path+"/stats?"+q.Encode(), nil, &s)
	return s, err
}

// Stats are the figures of whole days, UTC: GET /stats.
type Stats struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Project string `json:"project,omitempty"`
	// Total is all days together.
	Total   DayStats      `json:"total"`
	Days    []DayStats    `json:"days"`
	Stages  []StageStats  `json:"stages"`
	Workers []WorkerStats `json:"workers"`
}

// DayStats are those of a day. Builds count on the day of what they count for: of their submit, or of their end.
type DayStats struct {
	Day       string `json:"day,omitempty"`
	Submitted int64  `json:"submitted"`
	Completed int64  `json:"completed"`
	Failed    int64  `json:"failed"`
	Cancelled int64  `json:"cancelled"`
	// LostAttempts were lost to the infrastructure, and made again.
	LostAttempts int64 `json:"lost_attempts"`
	// SuccessRate is the share of those that completed among those that completed or failed, 0 to 1.
	SuccessRate *float64 `json:"success_rate,omitempty"`
	// Duration is from assignment to the end, of those that completed or failed.
	Duration *Spread `json:"duration,omitempty"`
	// QueueWait is from submit to the first assignment.
	QueueWait *Spread `json:"queue_wait,omitempty"`
}

// Spread says how durations lie. The mean is exact, the quantiles are right to a tenth.
type Spread struct {
	Count  int64 `json:"count"`
	MeanMs int64 `json:"mean_ms"`
	P50Ms  int64 `json:"p50_ms"`
	P95Ms  int64 `json:"p95_ms"`
}

// StageStats are how long a stage took.
type StageStats struct {
	Stage    string  `json:"stage"`
	Duration *Spread `json:"duration"`
}

// WorkerStats are what a worker did.
type WorkerStats struct {
	ID       string `json:"id"`
	Name     string `json:"name,omitempty"`
	Attempts int64  `json:"attempts"`
	BusyMs   int64  `json:"busy_ms"`
	// Utilisation is the share of its slots' time that it was busy, since the first day or since it registered, 0 to 1.
	Utilisation *float64 `json:"utilisation,omitempty"`
}

// Rebuilt says from which day on figures are counted anew.
type Rebuilt struct {
	// From is empty if there are no events to count from.
	From string `json:"from,omitempty"`
}

// Health is drawn from a worker's diagnostic reports of the last week. It changes nothing about what the worker is given.
type Health struct {
	// Score is 0 to 100: the mean of its reports (healthy 100, warning 60, critical 0), each weighing half of one a day younger.
	Score        int    `json:"score"`
	LatestStatus string `json:"latest_status"`
	LatestAt     string `json:"latest_at"`
	Reports      int    `json:"reports"`
}

// Report is a diagnostic report of a worker.
type Report struct {
	ID string `json:"id"`
	// Status is healthy, warning or critical.
	Status     string          `json:"status"`
	At         string          `json:"at"`
	DurationMs int64           `json:"duration_ms"`
	AutoFixed  bool            `json:"auto_fixed"`
	Checks     json.RawMessage `json:"checks"`
}

// ReportList is a worker's reports, newest first.
type ReportList struct {
	Reports []Report `json:"reports"`
}
