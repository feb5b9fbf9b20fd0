package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Lane is what a worker takes builds from. Those of a pool and platform that require nothing are handed out on a queue with a durable
// consumer; those with requirements are offered to single workers.
type Lane struct {
	Pool     string
	Platform build.Platform
	Requires build.Requirements
}

// Queue returns the lane of the same pool and platform that requires nothing.
func (l Lane) Queue() Lane { return Lane{Pool: l.Pool, Platform: l.Platform} }

// HasPending reports whether any build may be dispatched now.
func (s *Store) HasPending(ctx context.Context, now time.Time) (has bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM builds WHERE state = 'pending' AND not_before <= $1)`,
		Millis(now)).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look for pending builds: %w", err)
	}
	return has, nil
}

// PendingLanes returns the lanes with builds that may be dispatched now.
func (s *Store) PendingLanes(ctx context.Context, now time.Time) ([]Lane, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT DISTINCT pool, platform, requires FROM builds WHERE state = 'pending' AND not_before <= $1`,
		Millis(now))
	if err != nil {
		return nil, fmt.Errorf("read lanes: %w", err)
	}
	defer rows.Close()
	var lanes []Lane
	for rows.Next() {
		var l Lane
		if err := rows.Scan(&l.Pool, &l.Platform, &l.Requires); err != nil {
			return nil, fmt.Errorf("read lanes: %w", err)
		}
		lanes = append(lanes, l)
	}
	return lanes, rows.Err()
}

// The projects of a lane are found one after the other in the index builds_pending_requires, and of each the heads of every priority: what is
// read grows with projects and free slots, not with the builds that wait.
const (
	headsProjects = `WITH RECURSIVE projects (project) AS (
			SELECT min(project) FROM builds WHERE state = 'pending' AND pool = $1 AND platform = $2 AND requires = $5
			UNION ALL
			SELECT (SELECT min(project) FROM builds WHERE state = 'pending' AND pool = $1 AND platform = $2 AND requires = $5 AND project > p.project)
			FROM projects p WHERE p.project IS NOT NULL
		), levels (priority) AS (
			SELECT max(priority) FROM builds WHERE state = 'pending'
			UNION ALL
			SELECT (SELECT max(priority) FROM builds WHERE state = 'pending' AND priority < l.priority)
			FROM levels l WHERE l.priority IS NOT NULL
		) `
	headsWhere = `FROM builds WHERE state = 'pending' AND pool = $1 AND platform = $2 AND requires = $5 AND project = projects.project
			AND priority = levels.priority AND not_before <= $3 ORDER BY seq LIMIT $4`
	headsSQLite = headsProjects + `SELECT ` + briefColumns + ` FROM builds WHERE seq IN (
			SELECT h.seq FROM projects CROSS JOIN levels JOIN builds h ON h.seq IN (SELECT seq ` + headsWhere + `)
			WHERE projects.project IS NOT NULL AND levels.priority IS NOT NULL)`
	headsPostgres = headsProjects + `SELECT ` + briefColumns + ` FROM builds WHERE seq IN (
			SELECT h.seq FROM projects CROSS JOIN levels CROSS JOIN LATERAL (SELECT seq ` + headsWhere + `) AS h
			WHERE projects.project IS NOT NULL AND levels.priority IS NOT NULL)`
)

// Heads returns the first n builds of each project and priority of a lane that may be dispatched now, without their objects.
func (s *Store) Heads(ctx context.Context, l Lane, now time.Time, n int) ([]Build, error) {
	q := headsPostgres
	if s.db.Dialect() == database.SQLite {
		q = headsSQLite
	}
	rows, err := s.db.Read().QueryContext(ctx, q, l.Pool, l.Platform, Millis(now), n, l.Requires)
	return collect(rows, err, "first pending builds")
}

// VirtualTime returns the largest start tag that was dispatched in a lane, 0 if none was.
func (s *Store) VirtualTime(ctx context.Context, l Lane) (v float64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT coalesce(max(vstart), 0) FROM builds WHERE pool = $1 AND platform = $2 AND vfinish > 0`,
		l.Pool, l.Platform).Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("virtual time of %v: %w", l, err)
	}
	return v, nil
}

// FinishTag returns the largest finish tag of a project's builds in a lane, 0 if none was dispatched.
func (s *Store) FinishTag(ctx context.Context, l Lane, project string) (v float64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT coalesce(max(vfinish), 0) FROM builds
		WHERE pool = $1 AND platform = $2 AND project = $3 AND vfinish > 0`, l.Pool, l.Platform, project).Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("finish tag of project %s: %w", project, err)
	}
	return v, nil
}

// Waiting returns every build that waits or is on offer, without its objects.
func (s *Store) Waiting(ctx context.Context) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+briefColumns+` FROM builds WHERE state IN ('pending', 'queued')`)
	return collect(rows, err, "waiting builds")
}

// Leased returns every build that a worker holds, without its objects.
func (s *Store) Leased(ctx context.Context) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+briefColumns+` FROM builds WHERE state IN ('assigned', 'building')`)
	return collect(rows, err, "running builds")
}

// Load is a build that runs or is on offer.
type Load struct {
	Lane
	Project string
	// AssignedAt is zero while it is on offer.
	AssignedAt time.Time
}

// Loads returns every build that runs or is on offer.
func (s *Store) Loads(ctx context.Context) ([]Load, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT pool, platform, project, CASE WHEN state = 'queued' THEN 0 ELSE assigned_at END
		FROM builds WHERE state IN ('assigned', 'building', 'queued')`)
	if err != nil {
		return nil, fmt.Errorf("read running builds: %w", err)
	}
	defer rows.Close()
	var all []Load
	for rows.Next() {
		var l Load
		var assigned int64
		if err := rows.Scan(&l.Pool, &l.Platform, &l.Project, &assigned); err != nil {
			return nil, fmt.Errorf("read running builds: %w", err)
		}
		l.AssignedAt = FromMillis(assigned)
		all = append(all, l)
	}
	return all, rows.Err()
}

// Took returns how long the last n completed builds of a project and platform took from their assignment.
func (s *Store) Took(ctx context.Context, project string, p build.Platform, n int) ([]time.Duration, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT finished_at - assigned_at FROM builds
		WHERE state = 'completed' AND project = $1 AND platform = $2 AND assigned_at > 0 ORDER BY seq DESC LIMIT $3`, project, p, n)
	if err != nil {
		return nil, fmt.Errorf("durations of %s: %w", project, err)
	}
	defer rows.Close()
	var all []time.Duration
	for rows.Next() {
		var took int64
		if err := rows.Scan(&took); err != nil {
			return nil, fmt.Errorf("durations of %s: %w", project, err)
		}
		all = append(all, time.Duration(max(0, took))*time.Millisecond)
	}
	return all, rows.Err()
}

// Running counts the builds of a project, or of a pool, that run or are on offer; what is empty does not choose.
func (t *Tx) Running(ctx context.Context, project, pool string) (n int64, err error) {
	column, value := "project", project
	if project == "" {
		column, value = "pool", pool
	}
	err = t.tx.QueryRowContext(ctx, `SELECT count(*) FROM builds WHERE state IN ('assigned', 'building', 'queued') AND `+column+` = $1`,
		value).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count running builds of %s %s: %w", column, value, err)
	}
	return n, nil
}

// Offered returns at most limit builds of a project, or of a pool if project is empty, that are on offer, the last offered first. They
// are locked.
func (t *Tx) Offered(ctx context.Context, project, pool string, limit int64) ([]Build, error) {
	column, value := "project", project
	if project == "" {
		column, value = "pool", pool
	}
	rows, err := t.tx.QueryContext(ctx, `SELECT `+buildColumns+` FROM builds WHERE state = 'queued' AND `+column+` = $1
		ORDER BY queued_at DESC, seq DESC LIMIT $2`+t.tx.ForUpdate(), value, limit)
	return collect(rows, err, "builds on offer")
}

// workerNames adds who held the current attempt to the columns of a build.
const workerName = `, coalesce((SELECT a.worker_name FROM attempts a WHERE a.build_id = builds.id AND a.number = builds.attempt), '')`

// collectNamed is collect with worker names.
func collectNamed(rows *sql.Rows, err error, doing string) ([]Build, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer rows.Close()
	var all []Build
	for rows.Next() {
		var name string
		b, err := scanBuild(rows, &name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		b.WorkerName = name
		all = append(all, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return all, nil
}
