package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Build reads one build outside a transaction.
func (s *Store) Build(ctx context.Context, id string) (Build, error) {
	return scanBuild(s.db.Read().QueryRowContext(ctx, `SELECT `+buildColumns+` FROM builds WHERE id = $1`, id))
}

// Attempts gives a build's hand-outs, oldest first.
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
		a.ClaimedAt, a.StartedAt, a.EndedAt = fromMillis(claimed), fromMillis(started), fromMillis(ended)
		all = append(all, a)
	}
	return all, rows.Err()
}

// Lane is where a hand-out goes: one durable consumer each.
type Lane struct {
	Pool     string
	Platform build.Platform
}

// Pending gives, for each lane and project, the first builds in the order of priority and submission that may be handed out
// now, without what was stored of them. The places are counted in an index (builds_pending); rows are read of what is given.
func (s *Store) Pending(ctx context.Context, now time.Time, perProject int) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+briefColumns+` FROM builds WHERE seq IN (SELECT seq FROM (
			SELECT seq, row_number() OVER (PARTITION BY pool, platform, project ORDER BY priority DESC, seq) AS place
			FROM builds WHERE state = 'pending' AND not_before <= $1) AS waiting
		WHERE place <= $2) ORDER BY priority DESC, seq`, millis(now), perProject)
	return collect(rows, err, "pending builds")
}

// Queued gives every build whose hand-out should lie in BUILD_QUEUE, without what was stored of them.
func (s *Store) Queued(ctx context.Context) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+briefColumns+` FROM builds WHERE state = 'queued' ORDER BY seq`)
	return collect(rows, err, "queued builds")
}

// Live counts, for each lane and project, the builds that are queued or leased.
func (s *Store) Live(ctx context.Context) (map[Lane]map[string]int, error) {
	return s.count(ctx, `SELECT pool, platform, project, count(*) FROM builds
		WHERE state IN ('assigned', 'building', 'queued') GROUP BY pool, platform, project`)
}

func (s *Store) count(ctx context.Context, q string, args ...any) (map[Lane]map[string]int, error) {
	rows, err := s.db.Read().QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("count builds: %w", err)
	}
	defer rows.Close()
	counts := map[Lane]map[string]int{}
	for rows.Next() {
		var l Lane
		var project string
		var n int
		if err := rows.Scan(&l.Pool, &l.Platform, &project, &n); err != nil {
			return nil, fmt.Errorf("count builds: %w", err)
		}
		if counts[l] == nil {
			counts[l] = map[string]int{}
		}
		counts[l][project] = n
	}
	return counts, rows.Err()
}

// QueuedByLane counts the hand-outs on offer.
func (s *Store) QueuedByLane(ctx context.Context) (map[Lane]int, error) {
	byProject, err := s.count(ctx, `SELECT pool, platform, '', count(*) FROM builds WHERE state = 'queued' GROUP BY pool, platform`)
	if err != nil {
		return nil, err
	}
	counts := map[Lane]int{}
	for l, m := range byProject {
		counts[l] = m[""]
	}
	return counts, nil
}

// Untaken gives the lanes in which builds are on offer since before then.
func (s *Store) Untaken(ctx context.Context, then time.Time) ([]Lane, error) {
	counts, err := s.count(ctx, `SELECT pool, platform, '', count(*) FROM builds WHERE state = 'queued' AND queued_at <= $1
		GROUP BY pool, platform`, millis(then))
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

// Capacities gives the online workers that do not drain.
func (s *Store) Capacities(ctx context.Context) ([]Capacity, error) {
	return s.capacities(ctx, `WHERE online = 1 AND draining = 0 ORDER BY id`)
}

func (s *Store) capacities(ctx context.Context, which string, args ...any) ([]Capacity, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+workerColumns+`, (SELECT count(*) FROM builds b
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

// Able says whether an online worker that takes builds can do those of a lane.
func (s *Store) Able(ctx context.Context, pool string, p build.Platform) (able bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM workers WHERE online = 1 AND draining = 0 AND pool = $1
		AND (platforms = '' OR ',' || platforms || ',' LIKE $2))`, pool, "%,"+string(p)+",%").Scan(&able)
	if err != nil {
		return false, fmt.Errorf("look for a worker: %w", err)
	}
	return able, nil
}

// Worker reads one worker outside a transaction.
func (s *Store) Worker(ctx context.Context, id string) (Worker, error) {
	return scanWorker(s.db.Read().QueryRowContext(ctx, `SELECT `+workerColumns+` FROM workers WHERE id = $1`, id))
}

// Lanes gives every lane that a worker or an unfinished build belongs to.
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
			lanes = append(lanes, Lane{pool, p})
		}
	}
	return lanes, rows.Err()
}

// Position is the place of a waiting build among those of its lane, from 1.
func (s *Store) Position(ctx context.Context, b Build) (int32, error) {
	var ahead int32
	err := s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM builds WHERE state IN ('pending', 'queued')
		AND pool = $1 AND platform = $2 AND (priority > $3 OR (priority = $3 AND seq < $4))`,
		b.Pool, b.Platform, b.Priority, b.Seq).Scan(&ahead)
	if err != nil {
		return 0, fmt.Errorf("position of %s: %w", b.ID, err)
	}
	return ahead + 1, nil
}
