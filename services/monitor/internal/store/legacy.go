package store

import (
	"context"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
)

// After returns reports of all workers by id, after the one given.
func (s *Reports) After(ctx context.Context, after string, limit int32) ([]*monitorv1.Report, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, worker_id, status, run_at, duration_ms, auto_fixed, checks FROM reports
		WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	return collectReports(rows, err, "read reports in order")
}
