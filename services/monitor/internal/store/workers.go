package store

import (
	"context"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Worker is a connected worker under watch. TTL is the heartbeat timeout that its heartbeats ask for.
type Worker struct {
	ID     string
	LookAt time.Time
	TTL    time.Duration
}

// Workers is the table of workers under watch.
type Workers struct{ base }

// Watch adds a worker, or sets when it is due.
func (s *Workers) Watch(ctx context.Context, w Worker) error {
	return s.exec(ctx, "watch worker "+w.ID, `INSERT INTO workers (worker_id, look_at, ttl_ms) VALUES ($1, $2, $3)
		ON CONFLICT (worker_id) DO UPDATE SET look_at = excluded.look_at, ttl_ms = excluded.ttl_ms`,
		w.ID, w.LookAt.UnixMilli(), w.TTL.Milliseconds())
}

// SetTTL sets the TTL of a watched worker.
func (s *Workers) SetTTL(ctx context.Context, workerID string, ttl time.Duration) error {
	return s.exec(ctx, "watch worker "+workerID, `UPDATE workers SET ttl_ms = $1 WHERE worker_id = $2 AND ttl_ms <> $1`,
		ttl.Milliseconds(), workerID)
}

// Alive records what was seen of a due worker. It does nothing if the row has changed.
func (s *Workers) Alive(ctx context.Context, due, seen Worker) error {
	return s.exec(ctx, "keep watching worker "+due.ID, `UPDATE workers SET look_at = $1, ttl_ms = $2
		WHERE worker_id = $3 AND look_at = $4`,
		seen.LookAt.UnixMilli(), seen.TTL.Milliseconds(), due.ID, due.LookAt.UnixMilli())
}

// Suspect makes a watched worker due at the given time, or earlier if it is due then.
func (s *Workers) Suspect(ctx context.Context, workerID string, at time.Time) error {
	return s.exec(ctx, "suspect worker "+workerID, `UPDATE workers SET look_at = $1 WHERE worker_id = $2 AND look_at > $1`,
		at.UnixMilli(), workerID)
}

// SuspectAll makes every watched worker due when its TTL has passed since a time.
func (s *Workers) SuspectAll(ctx context.Context, since time.Time) error {
	return s.exec(ctx, "suspect all workers", `UPDATE workers SET look_at = $1 + ttl_ms WHERE look_at <> $1 + ttl_ms`, since.UnixMilli())
}

// Due returns at most 500 workers that are due and whose full TTL has passed since a time.
func (s *Workers) Due(ctx context.Context, now, since time.Time) ([]Worker, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT worker_id, look_at, ttl_ms FROM workers
		WHERE look_at <= $1 AND ttl_ms <= $2 ORDER BY look_at LIMIT 500`, now.UnixMilli(), now.Sub(since).Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	defer rows.Close()
	var all []Worker
	for rows.Next() {
		var w Worker
		var look, ttl int64
		if err := rows.Scan(&w.ID, &look, &ttl); err != nil {
			return nil, fmt.Errorf("read workers: %w", err)
		}
		w.LookAt, w.TTL = time.UnixMilli(look), time.Duration(ttl)*time.Millisecond
		all = append(all, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	return all, nil
}

// Leave is the verdict on a due worker, as Leases.Stall is on a lease.
func (s *Workers) Leave(ctx context.Context, due Worker, event bus.Message) (bool, error) {
	return s.decide(ctx, event, `DELETE FROM workers WHERE worker_id = $1 AND look_at = $2`, due.ID, due.LookAt.UnixMilli())
}
