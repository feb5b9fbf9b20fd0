package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Build reads one build outside a transaction.
func (s *Store) Build(ctx context.Context, id string) (Build, error) {
	return scanBuild(s.db.Read().QueryRowContext(ctx, `SELECT `+buildColumns+` FROM builds WHERE id = $1`, id))
}

// Attempts returns a build's hand-outs, oldest first.
func (s *Store) Attempts(ctx context.Context, buildID string) ([]Attempt, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT build_id, number, worker_id, worker_name, claimed_at, started_at,
		ended_at, outcome, error FROM attempts WHERE build_id = $1 ORDER BY number`, buildID)
	if err != nil {
		return nil, fmt.Errorf("attempts of %s: %w", buildID, err)
	}
	defer rows.Close()
	var all []Attempt
	for rows.Next() {
		var a Attempt
		var claimed, started, ended int64
		if err := rows.Scan(&a.BuildID, &a.Number, &a.WorkerID, &a.WorkerName, &claimed, &started, &ended, &a.Outcome, &a.Error); err != nil {
			return nil, fmt.Errorf("attempts of %s: %w", buildID, err)
		}
		a.ClaimedAt, a.StartedAt, a.EndedAt = FromMillis(claimed), FromMillis(started), FromMillis(ended)
		all = append(all, a)
	}
	return all, rows.Err()
}

// Queued returns every build whose hand-out should lie in BUILD_QUEUE, without what was stored of them.
func (s *Store) Queued(ctx context.Context) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+briefColumns+` FROM builds WHERE state = 'queued' ORDER BY seq`)
	return collect(rows, err, "queued builds")
}

// countByLane runs a query for pool, platform and count(*).
func countByLane(ctx context.Context, db *database.DB, q string, args ...any) (map[Lane]int, error) {
	rows, err := db.Read().QueryContext(ctx, q+` GROUP BY pool, platform`, args...)
	if err != nil {
		return nil, fmt.Errorf("count builds: %w", err)
	}
	defer rows.Close()
	counts := map[Lane]int{}
	for rows.Next() {
		var l Lane
		var n int
		if err := rows.Scan(&l.Pool, &l.Platform, &n); err != nil {
			return nil, fmt.Errorf("count builds: %w", err)
		}
		counts[l] = n
	}
	return counts, rows.Err()
}

// QueuedByLane counts the hand-outs on offer.
func (s *Store) QueuedByLane(ctx context.Context) (map[Lane]int, error) {
	return countByLane(ctx, s.db, `SELECT pool, platform, count(*) FROM builds WHERE state = 'queued'`)
}

// Unclaimed returns the lanes in which builds have been on offer since before then.
func (s *Store) Unclaimed(ctx context.Context, then time.Time) ([]Lane, error) {
	counts, err := countByLane(ctx, s.db, `SELECT pool, platform, count(*) FROM builds WHERE state = 'queued' AND queued_at <= $1`, Millis(then))
	return slices.Collect(maps.Keys(counts)), err
}

// Connected counts the online workers that are on the bus.
func (s *Store) Connected(ctx context.Context) (n int64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM workers WHERE online = 1 AND polls = 0`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count workers: %w", err)
	}
	return n, nil
}

// Capacity is an online worker that takes builds, and how many it holds.
type Capacity struct {
	Worker
	Held int32
}

func capacities(ctx context.Context, db *database.DB, which string, args ...any) ([]Capacity, error) {
	rows, err := db.Read().QueryContext(ctx, `SELECT `+workerColumns+`, (SELECT count(*) FROM builds b
			WHERE b.worker_id = workers.id AND b.state IN ('assigned', 'building'))
		FROM workers `+which, args...)
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	defer rows.Close()
	var all []Capacity
	for rows.Next() {
		var c Capacity
		if c.Worker, err = scanWorker(rows, &c.Held); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// Worker reads one worker outside a transaction.
func (s *Store) Worker(ctx context.Context, id string) (Worker, error) {
	return scanWorker(s.db.Read().QueryRowContext(ctx, `SELECT `+workerColumns+` FROM workers WHERE id = $1`, id))
}

// Lanes returns every lane that a worker or an unfinished build belongs to.
func (s *Store) Lanes(ctx context.Context) ([]Lane, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT DISTINCT pool FROM workers
		UNION SELECT DISTINCT pool FROM builds WHERE state IN ('pending', 'queued')`)
	if err != nil {
		return nil, fmt.Errorf("read pools: %w", err)
	}
	defer rows.Close()
	var lanes []Lane
	for rows.Next() {
		var pool string
		if err := rows.Scan(&pool); err != nil {
			return nil, fmt.Errorf("read pools: %w", err)
		}
		for _, p := range build.Platforms() {
			lanes = append(lanes, Lane{Pool: pool, Platform: p})
		}
	}
	return lanes, rows.Err()
}
