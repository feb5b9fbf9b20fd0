package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// maxReports is how many reports of one worker are kept.
const maxReports = 500

// Reports is the table of diagnostic reports.
type Reports struct{ base }

// Add stores a diagnostic report and deletes the worker's oldest beyond 500.
func (s *Reports) Add(ctx context.Context, r *monitorv1.Report) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		if err := InsertReport(ctx, tx, r, false); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM reports WHERE worker_id = $1 AND id IN (
			SELECT id FROM reports WHERE worker_id = $1 AND former = 0 ORDER BY run_at DESC, id DESC LIMIT 1000 OFFSET $2)`, r.GetWorkerId(), maxReports)
		return err
	})
	if err != nil {
		return fmt.Errorf("store a report of worker %s: %w", r.GetWorkerId(), err)
	}
	return nil
}

// InsertReport adds a report. An imported one does not expire.
func InsertReport(ctx context.Context, tx *database.Tx, r *monitorv1.Report, imported bool) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO reports (id, worker_id, status, run_at, duration_ms, auto_fixed, checks, former)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, r.GetId(), r.GetWorkerId(), r.GetStatus(), r.GetRunAtMs(), r.GetDurationMs(),
		bit(r.GetAutoFixed()), string(r.GetChecksJson()), bit(imported))
	return err
}

// List returns a worker's reports, newest first.
func (s *Reports) List(ctx context.Context, workerID string, limit int32) ([]*monitorv1.Report, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, worker_id, status, run_at, duration_ms, auto_fixed, checks FROM reports
		WHERE worker_id = $1 ORDER BY run_at DESC, id DESC LIMIT $2`, workerID, limit)
	return collectReports(rows, err, "reports of worker "+workerID)
}

func collectReports(rows *sql.Rows, err error, doing string) ([]*monitorv1.Report, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer rows.Close()
	var all []*monitorv1.Report
	for rows.Next() {
		r := &monitorv1.Report{}
		var fixed int64
		var checks string
		if err := rows.Scan(&r.Id, &r.WorkerId, &r.Status, &r.RunAtMs, &r.DurationMs, &fixed, &checks); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		r.AutoFixed, r.ChecksJson = fixed != 0, []byte(checks)
		all = append(all, r)
	}
	return all, rows.Err()
}

// Mark is a report without its checks.
type Mark struct {
	Status string
	At     time.Time
}

// mostMarks bounds what is read for all workers together: the newest.
const mostMarks = 100_000

// Marks returns those of every worker since a time.
func (s *Reports) Marks(ctx context.Context, since time.Time) (map[string][]Mark, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT worker_id, status, run_at FROM reports WHERE run_at >= $1 ORDER BY run_at DESC LIMIT $2`,
		since.UnixMilli(), mostMarks)
	if err != nil {
		return nil, fmt.Errorf("read reports: %w", err)
	}
	defer rows.Close()
	all := map[string][]Mark{}
	for rows.Next() {
		var worker, status string
		var at int64
		if err := rows.Scan(&worker, &status, &at); err != nil {
			return nil, fmt.Errorf("read reports: %w", err)
		}
		all[worker] = append(all[worker], Mark{Status: status, At: time.UnixMilli(at)})
	}
	return all, rows.Err()
}

// Sweep deletes reports from before a time, except imported ones.
func (s *Reports) Sweep(ctx context.Context, before time.Time) error {
	return s.exec(ctx, "sweep reports", `DELETE FROM reports WHERE run_at < $1 AND former = 0`, before.UnixMilli())
}
