package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// absent are offline workers that were last seen before $1 and hold nothing.
const absent = `online = 0 AND seen_at < $1 AND NOT EXISTS (SELECT 1 FROM builds WHERE builds.worker_id = workers.id
	AND builds.state IN ('assigned', 'building'))`

// Absent returns the ids of workers that were not seen since t, the longest absent first.
func (s *Store) Absent(ctx context.Context, t time.Time, limit int) (ids []string, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id FROM workers WHERE `+absent+` ORDER BY seen_at, id LIMIT $2`, store.Millis(t), limit)
	if err != nil {
		return nil, fmt.Errorf("read absent workers: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read absent workers: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read absent workers: %w", err)
	}
	return ids, nil
}

// CountAbsent counts them.
func (s *Store) CountAbsent(ctx context.Context, t time.Time) (n int64, err error) {
	if err = s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM workers WHERE `+absent, store.Millis(t)).Scan(&n); err != nil {
		return 0, fmt.Errorf("count absent workers: %w", err)
	}
	return n, nil
}

// ForgetWorkers deletes the workers that are still absent since t.
func (s *Store) ForgetWorkers(ctx context.Context, t time.Time, ids []string) (n int64, err error) {
	err = s.tx(ctx, "forget workers", func(tx *database.Tx) error {
		marks, args := list(ids, store.Millis(t))
		res, err := tx.ExecContext(ctx, `DELETE FROM workers WHERE `+absent+` AND id IN (`+marks+`)`, args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}

// ForgetFigures deletes the figures of workers that are not there any more.
func (s *Store) ForgetFigures(ctx context.Context) error {
	return s.tx(ctx, "forget the figures of workers", func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM expired_attempts WHERE worker_id NOT IN (SELECT id FROM workers)`)
		return err
	})
}
