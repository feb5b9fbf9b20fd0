package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Timeouts are what a project has instead of the configuration's; what is 0 or absent is the configuration's. A WaitAlert below 0
// is never.
type Timeouts struct {
	StageTTLs        map[build.Stage]time.Duration
	Build, WaitAlert time.Duration
}

// Empty says that there is nothing in it.
func (t Timeouts) Empty() bool { return len(t.StageTTLs) == 0 && t.Build == 0 && t.WaitAlert == 0 }

func timeouts(ctx context.Context, db *database.DB) (map[string]Timeouts, error) {
	rows, err := db.Read().QueryContext(ctx, `SELECT project, stage_ttls, timeout_s, wait_alert_s FROM project_timeouts`)
	if err != nil {
		return nil, fmt.Errorf("read timeouts: %w", err)
	}
	defer rows.Close()
	all := map[string]Timeouts{}
	for rows.Next() {
		var project, text string
		var timeout, alert int64
		if err := rows.Scan(&project, &text, &timeout, &alert); err != nil {
			return nil, fmt.Errorf("read timeouts: %w", err)
		}
		t := Timeouts{Build: time.Duration(timeout) * time.Second, WaitAlert: time.Duration(alert) * time.Second}
		var seconds map[build.Stage]int64
		if err := json.Unmarshal([]byte(text), &seconds); err != nil {
			return nil, fmt.Errorf("read timeouts of %s: %w", project, err)
		}
		t.StageTTLs = make(map[build.Stage]time.Duration, len(seconds))
		for stage, n := range seconds {
			t.StageTTLs[stage] = time.Duration(n) * time.Second
		}
		all[project] = t
	}
	return all, rows.Err()
}

// SetTimeouts replaces a project's; empty ones are removed.
func (t *Tx) SetTimeouts(ctx context.Context, project string, x Timeouts) error {
	if x.Empty() {
		if _, err := t.tx.ExecContext(ctx, `DELETE FROM project_timeouts WHERE project = $1`, project); err != nil {
			return fmt.Errorf("remove timeouts of %s: %w", project, err)
		}
		return nil
	}
	seconds := make(map[build.Stage]int64, len(x.StageTTLs))
	for stage, d := range x.StageTTLs {
		seconds[stage] = int64(d / time.Second)
	}
	text, err := json.Marshal(seconds)
	if err != nil {
		return fmt.Errorf("pack timeouts of %s: %w", project, err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO project_timeouts (project, stage_ttls, timeout_s, wait_alert_s) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project) DO UPDATE SET stage_ttls = excluded.stage_ttls, timeout_s = excluded.timeout_s, wait_alert_s = excluded.wait_alert_s`,
		project, string(text), int64(x.Build/time.Second), int64(x.WaitAlert/time.Second))
	if err != nil {
		return fmt.Errorf("store timeouts of %s: %w", project, err)
	}
	return nil
}

// Overdue gives leased builds that have outlived the timeout that their profile asked for by grace, and those that asked for
// none and were assigned before t: some of them may have longer, by their project.
func (s *Store) Overdue(ctx context.Context, now, t time.Time, grace time.Duration) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+buildColumns+` FROM builds
		WHERE state IN ('assigned', 'building')
			AND (timeout_ms = 0 AND assigned_at < $1 OR timeout_ms > 0 AND assigned_at < $2 - timeout_ms)
		ORDER BY assigned_at LIMIT 5000`, Millis(t), Millis(now.Add(-grace)))
	return collect(rows, err, "overdue builds")
}

// LongWaiting gives waiting builds that were submitted before t and of which that was not told, the oldest first.
func (s *Store) LongWaiting(ctx context.Context, t time.Time) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+buildColumns+` FROM builds
		WHERE state IN ('pending', 'queued') AND wait_told = 0 AND submitted_at < $1 ORDER BY seq LIMIT 1000`, Millis(t))
	return collect(rows, err, "builds that wait")
}

// MarkWaitAlert notes that a build's waiting was told; false if it was, or waits no more.
func (t *Tx) MarkWaitAlert(ctx context.Context, id string) (bool, error) {
	res, err := t.tx.ExecContext(ctx, `UPDATE builds SET wait_told = 1 WHERE id = $1 AND wait_told = 0 AND state IN ('pending', 'queued')`, id)
	if err != nil {
		return false, fmt.Errorf("note that %s waits: %w", id, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("note that %s waits: %w", id, err)
	}
	return n == 1, nil
}
