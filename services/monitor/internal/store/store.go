// Package store is the monitor's memory: the leases and workers that it watches and when it looks at each next.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/outbox"
)

//go:embed migrations
var migrations embed.FS

// Store reads and writes the monitor's tables. It is safe for concurrent use.
type Store struct {
	db *database.DB
}

// New migrates the monitor's schema in db and gives its store.
func New(ctx context.Context, db *database.DB) (*Store, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	if err := db.Migrate(ctx, sub); err != nil {
		return nil, fmt.Errorf("migrate the monitor's schema: %w", err)
	}
	return &Store{db: db}, nil
}

// Lease is a running attempt under watch.
type Lease struct {
	BuildID  string
	Attempt  int32
	WorkerID string
	Stage    string
	// TTL is the silence forgiven; Since the last time that life was known; LookAt when the key is read next.
	TTL           time.Duration
	Since, LookAt time.Time
}

// Watch adds a lease or renews it; a row of a later attempt is left alone.
func (s *Store) Watch(ctx context.Context, l Lease) error {
	return s.exec(ctx, "watch "+l.BuildID, `INSERT INTO leases (build_id, attempt, worker_id, stage, ttl_ms, since, look_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (build_id) DO UPDATE SET attempt = excluded.attempt, worker_id = excluded.worker_id,
			stage = excluded.stage, ttl_ms = excluded.ttl_ms, since = excluded.since, look_at = excluded.look_at
		WHERE leases.attempt <= excluded.attempt`,
		l.BuildID, l.Attempt, l.WorkerID, l.Stage, l.TTL.Milliseconds(), l.Since.UnixMilli(), l.LookAt.UnixMilli())
}

// Forget drops a lease that has ended, of this attempt or an earlier one.
func (s *Store) Forget(ctx context.Context, buildID string, attempt int32) error {
	return s.exec(ctx, "forget "+buildID, `DELETE FROM leases WHERE build_id = $1 AND attempt <= $2`, buildID, attempt)
}

// Suspect has the lease looked at no later than at.
func (s *Store) Suspect(ctx context.Context, buildID string, attempt int32, at time.Time) error {
	return s.exec(ctx, "suspect "+buildID, `UPDATE leases SET look_at = $1 WHERE build_id = $2 AND attempt = $3 AND look_at > $1`,
		at.UnixMilli(), buildID, attempt)
}

// Alive records that the key was read: the next look, unless a marker comes first, is when it should have expired.
func (s *Store) Alive(ctx context.Context, l Lease) error {
	return s.exec(ctx, "keep watching "+l.BuildID, `UPDATE leases SET stage = $1, ttl_ms = $2, since = $3, look_at = $4
		WHERE build_id = $5 AND attempt = $6`,
		l.Stage, l.TTL.Milliseconds(), l.Since.UnixMilli(), l.LookAt.UnixMilli(), l.BuildID, l.Attempt)
}

// Due gives leases to be looked at now, at most 500: those whose time has come and whose full TTL has passed since held.
func (s *Store) Due(ctx context.Context, now, held time.Time) ([]Lease, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT build_id, attempt, worker_id, stage, ttl_ms, since, look_at FROM leases
		WHERE look_at <= $1 AND ttl_ms <= $2 ORDER BY look_at LIMIT 500`, now.UnixMilli(), now.Sub(held).Milliseconds())
	return collect(rows, err)
}

// Leases gives everything under watch.
func (s *Store) Leases(ctx context.Context) ([]Lease, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT build_id, attempt, worker_id, stage, ttl_ms, since, look_at FROM leases`)
	return collect(rows, err)
}

func collect(rows *sql.Rows, err error) ([]Lease, error) {
	if err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	defer rows.Close()
	var all []Lease
	for rows.Next() {
		var l Lease
		var ttl, since, look int64
		if err := rows.Scan(&l.BuildID, &l.Attempt, &l.WorkerID, &l.Stage, &ttl, &since, &look); err != nil {
			return nil, fmt.Errorf("read leases: %w", err)
		}
		l.TTL, l.Since, l.LookAt = time.Duration(ttl)*time.Millisecond, time.UnixMilli(since), time.UnixMilli(look)
		all = append(all, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	return all, nil
}

// errGone ends a verdict's transaction when another monitor was first.
var errGone = errors.New("decided already")

// Stall is the verdict on a lease: its row goes and the event goes out, together, once.
func (s *Store) Stall(ctx context.Context, l Lease, event bus.Message) error {
	return s.decide(ctx, event, `DELETE FROM leases WHERE build_id = $1 AND attempt = $2`, l.BuildID, l.Attempt)
}

// Leave is the verdict on a worker.
func (s *Store) Leave(ctx context.Context, workerID string, event bus.Message) error {
	return s.decide(ctx, event, `DELETE FROM workers WHERE worker_id = $1`, workerID)
}

func (s *Store) decide(ctx context.Context, event bus.Message, q string, args ...any) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, q, args...)
		if err != nil {
			return fmt.Errorf("record the verdict: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(errGone, err)
		}
		return outbox.Emit(ctx, tx, event)
	})
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// WatchWorker adds a worker, or moves its next look.
func (s *Store) WatchWorker(ctx context.Context, workerID string, lookAt time.Time) error {
	return s.exec(ctx, "watch worker "+workerID, `INSERT INTO workers (worker_id, look_at) VALUES ($1, $2)
		ON CONFLICT (worker_id) DO UPDATE SET look_at = excluded.look_at`, workerID, lookAt.UnixMilli())
}

// SuspectWorker has a watched worker looked at no later than at.
func (s *Store) SuspectWorker(ctx context.Context, workerID string, at time.Time) error {
	return s.exec(ctx, "suspect worker "+workerID, `UPDATE workers SET look_at = $1 WHERE worker_id = $2 AND look_at > $1`,
		at.UnixMilli(), workerID)
}

// DueWorkers gives workers to be looked at now, at most 500.
func (s *Store) DueWorkers(ctx context.Context, now time.Time) ([]string, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT worker_id FROM workers WHERE look_at <= $1 ORDER BY look_at LIMIT 500`,
		now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read workers: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func (s *Store) exec(ctx context.Context, doing, q string, args ...any) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, q, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
