package store

import (
	"context"
	"fmt"
	"time"

	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// AddLogSize adds to the size of an attempt's log and returns the sum over all gateways.
func (s *Store) AddLogSize(ctx context.Context, buildID string, attempt int32, more loglimit.Limit, at time.Time) (sum loglimit.Limit, err error) {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		return tx.QueryRowContext(ctx, `INSERT INTO log_sizes (build_id, attempt, lines, bytes, at_ms) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (build_id, attempt) DO UPDATE SET lines = log_sizes.lines + excluded.lines, bytes = log_sizes.bytes + excluded.bytes,
				at_ms = excluded.at_ms
			RETURNING lines, bytes`, buildID, int64(attempt), more.Lines, more.Bytes, at.UnixMilli()).Scan(&sum.Lines, &sum.Bytes)
	})
	if err != nil {
		return sum, fmt.Errorf("add to the size of a log: %w", err)
	}
	return sum, nil
}

// SweepLogSizes deletes the sizes of logs that have not grown since t.
func (s *Store) SweepLogSizes(ctx context.Context, t time.Time) error {
	return exec(ctx, s.db, "sweep sizes of logs", `DELETE FROM log_sizes WHERE at_ms < $1`, t.UnixMilli())
}
