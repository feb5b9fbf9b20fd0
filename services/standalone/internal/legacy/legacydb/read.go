package legacydb

import (
	"context"
	"database/sql"
	"fmt"
)

// page reads rows with scan.
func page[T any](ctx context.Context, c *Controller, scan func(*sql.Rows, *T) error, q string, args ...any) (all []T, err error) {
	rows, err := c.db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("read the legacy controller's database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, fmt.Errorf("read the legacy controller's database: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the legacy controller's database: %w", err)
	}
	return all, nil
}

// Workers gives workers by id, after the one given.
func (c *Controller) Workers(ctx context.Context, after string, limit int) ([]Worker, error) {
	return page(ctx, c, func(r *sql.Rows, w *Worker) error {
		return r.Scan(&w.ID, &w.Name, &w.Status, &w.Capabilities, &w.RegisteredAt, &w.SeenAt, &w.Completed, &w.Failed)
	}, `SELECT id, name, status, capabilities, registered_at, last_seen_at, coalesce(builds_completed, 0), coalesce(builds_failed, 0)
		FROM workers WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
}

// WorkerName is empty for a worker that is not there.
func (c *Controller) WorkerName(ctx context.Context, id string) (string, error) {
	names, err := page(ctx, c, func(r *sql.Rows, s *string) error { return r.Scan(s) }, `SELECT name FROM workers WHERE id = ?`, id)
	if err != nil || len(names) == 0 {
		return "", err
	}
	return names[0], nil
}

// Builds gives builds in the order of their submission, after the row given.
func (c *Controller) Builds(ctx context.Context, after int64, limit int) ([]Build, error) {
	return page(ctx, c, func(r *sql.Rows, b *Build) error {
		return r.Scan(&b.Row, &b.ID, &b.Status, &b.Platform, &b.SourcePath, &b.CertsPath, &b.ResultPath, &b.WorkerID, &b.SubmittedAt,
			&b.StartedAt, &b.CompletedAt, &b.ErrorMessage, &b.AccessToken)
	}, `SELECT rowid, `+buildColumns+` FROM builds WHERE rowid > ? ORDER BY rowid LIMIT ?`, after, limit)
}

// linePage bounds the lines that are held at once.
const linePage = 2000

// Lines returns a build's log to f, oldest first.
func (c *Controller) Lines(ctx context.Context, buildID string, f func(Line) error) error {
	for after := int64(-1); ; {
		lines, err := page(ctx, c, func(r *sql.Rows, l *Line) error { return r.Scan(&l.ID, &l.At, &l.Level, &l.Message) },
			`SELECT id, timestamp, level, message FROM build_logs WHERE build_id = ? AND id > ? ORDER BY id LIMIT ?`, buildID, after, linePage)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if err := f(l); err != nil {
				return err
			}
			after = l.ID
		}
		if len(lines) < linePage {
			return nil
		}
	}
}

// Snapshots gives CPU snapshots in order, after the id given.
func (c *Controller) Snapshots(ctx context.Context, after int64, limit int) ([]Snapshot, error) {
	return page(ctx, c, func(r *sql.Rows, s *Snapshot) error {
		return r.Scan(&s.ID, &s.BuildID, &s.At, &s.CPUPercent, &s.MemoryMB)
	}, `SELECT `+snapshotColumns+` FROM cpu_snapshots WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
}

// Reports gives diagnostic reports in order, after the row given.
func (c *Controller) Reports(ctx context.Context, after int64, limit int) ([]Report, error) {
	return page(ctx, c, func(r *sql.Rows, d *Report) error {
		return r.Scan(&d.Row, &d.ID, &d.WorkerID, &d.Status, &d.RunAt, &d.DurationMs, &d.AutoFixed, &d.Checks)
	}, `SELECT rowid, id, worker_id, status, run_at, CAST(round(duration_ms) AS INTEGER), coalesce(auto_fixed, 0), checks
		FROM diagnostics WHERE rowid > ? ORDER BY rowid LIMIT ?`, after, limit)
}

// Count counts everything.
func (c *Controller) Count(ctx context.Context) (n Counts, err error) {
	for q, to := range map[string]*int64{
		`SELECT count(*) FROM workers`: &n.Workers, `SELECT count(*) FROM builds`: &n.Builds, `SELECT count(*) FROM build_logs`: &n.Lines,
		`SELECT count(*) FROM diagnostics`: &n.Reports, `SELECT count(*) FROM cpu_snapshots`: &n.Snapshots,
		`SELECT count(*) FROM build_logs WHERE build_id NOT IN (SELECT id FROM builds)`:    &n.OrphanLines,
		`SELECT count(*) FROM cpu_snapshots WHERE build_id NOT IN (SELECT id FROM builds)`: &n.OrphanSnapshots,
	} {
		if err := c.db.QueryRowContext(ctx, q).Scan(to); err != nil {
			return n, fmt.Errorf("count the legacy controller's rows: %w", err)
		}
	}
	return n, nil
}

// HasBuild says that the build is there.
func (c *Controller) HasBuild(ctx context.Context, id string) (bool, error) {
	some, err := page(ctx, c, func(r *sql.Rows, n *int) error { return r.Scan(n) }, `SELECT 1 FROM builds WHERE id = ?`, id)
	return len(some) > 0, err
}
