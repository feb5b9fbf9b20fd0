package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// ProjectRule is what the administrator set for a project; a field that is 0 or nil means the farm's default.
type ProjectRule struct {
	Project    string
	Weight     int32
	MaxRunning int32
	// MaxPriority bounds what a submit may ask for.
	MaxPriority *int32
	// Supersede has every submit cancel older builds of another revision of its branch.
	Supersede bool
}

// PoolRule is what the administrator set for a pool.
type PoolRule struct {
	Pool       string
	MaxRunning int32
}

// Rules is what administrators set.
type Rules struct {
	// Projects and Pools have the rules of those that have one, in the order of names.
	Projects []ProjectRule
	Pools    []PoolRule
	// Timeouts are by project.
	Timeouts map[string]Timeouts
}

// Rules reads all rules.
func (s *Store) Rules(ctx context.Context) (r Rules, err error) {
	if r.Projects, err = projectRules(ctx, s.db); err != nil {
		return r, err
	}
	if r.Pools, err = poolRules(ctx, s.db); err != nil {
		return r, err
	}
	r.Timeouts, err = timeouts(ctx, s.db)
	return r, err
}

func projectRules(ctx context.Context, db *database.DB) ([]ProjectRule, error) {
	rows, err := db.Read().QueryContext(ctx, `SELECT project, weight, max_running, max_priority, supersede FROM project_rules ORDER BY project`)
	if err != nil {
		return nil, fmt.Errorf("read project rules: %w", err)
	}
	defer rows.Close()
	var all []ProjectRule
	for rows.Next() {
		var r ProjectRule
		var priority sql.NullInt32
		var supersede int64
		if err := rows.Scan(&r.Project, &r.Weight, &r.MaxRunning, &priority, &supersede); err != nil {
			return nil, fmt.Errorf("read project rules: %w", err)
		}
		if priority.Valid {
			r.MaxPriority = &priority.Int32
		}
		r.Supersede = supersede != 0
		all = append(all, r)
	}
	return all, rows.Err()
}

// PutProjectRule adds or replaces a project's rule.
func (t *Tx) PutProjectRule(ctx context.Context, r ProjectRule) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO project_rules (project, weight, max_running, max_priority, supersede) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (project) DO UPDATE SET weight = excluded.weight, max_running = excluded.max_running,
			max_priority = excluded.max_priority, supersede = excluded.supersede`,
		r.Project, r.Weight, r.MaxRunning, r.MaxPriority, bit(r.Supersede))
	if err != nil {
		return fmt.Errorf("store rule of project %s: %w", r.Project, err)
	}
	return nil
}

// DeleteProjectRule removes a project's rule.
func (t *Tx) DeleteProjectRule(ctx context.Context, project string) error {
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM project_rules WHERE project = $1`, project); err != nil {
		return fmt.Errorf("remove rule of project %s: %w", project, err)
	}
	return nil
}

func poolRules(ctx context.Context, db *database.DB) ([]PoolRule, error) {
	rows, err := db.Read().QueryContext(ctx, `SELECT pool, max_running FROM pool_rules ORDER BY pool`)
	if err != nil {
		return nil, fmt.Errorf("read pool rules: %w", err)
	}
	defer rows.Close()
	var all []PoolRule
	for rows.Next() {
		var r PoolRule
		if err := rows.Scan(&r.Pool, &r.MaxRunning); err != nil {
			return nil, fmt.Errorf("read pool rules: %w", err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// PutPoolRule adds or replaces a pool's rule.
func (t *Tx) PutPoolRule(ctx context.Context, r PoolRule) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO pool_rules (pool, max_running) VALUES ($1, $2)
		ON CONFLICT (pool) DO UPDATE SET max_running = excluded.max_running`, r.Pool, r.MaxRunning)
	if err != nil {
		return fmt.Errorf("store rule of pool %s: %w", r.Pool, err)
	}
	return nil
}

// DeletePoolRule removes a pool's rule.
func (t *Tx) DeletePoolRule(ctx context.Context, pool string) error {
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM pool_rules WHERE pool = $1`, pool); err != nil {
		return fmt.Errorf("remove rule of pool %s: %w", pool, err)
	}
	return nil
}

// ProjectLimit locks a project's rule, if it has one, and returns its MaxRunning: dispatches of a limited project come one after
// the other, so that its limit holds however many schedulers there are.
func (t *Tx) ProjectLimit(ctx context.Context, project string) (int32, error) {
	return t.limit(ctx, `SELECT max_running FROM project_rules WHERE project = $1 AND max_running > 0`, project)
}

// PoolLimit is ProjectLimit for a pool.
func (t *Tx) PoolLimit(ctx context.Context, pool string) (int32, error) {
	return t.limit(ctx, `SELECT max_running FROM pool_rules WHERE pool = $1 AND max_running > 0`, pool)
}

func (t *Tx) limit(ctx context.Context, q, name string) (n int32, err error) {
	err = t.tx.QueryRowContext(ctx, q+t.tx.ForUpdate(), name).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read limit of %s: %w", name, err)
	}
	return n, nil
}

// Superseded returns the unfinished builds that a newer build of another revision replaces: same project, branch, platform and profile,
// submitted before seq. They are locked in the order of their seq.
func (t *Tx) Superseded(ctx context.Context, b Build) ([]Build, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+buildColumns+` FROM builds
		WHERE state IN ('pending', 'queued', 'assigned', 'building') AND project = $1 AND branch = $2 AND platform = $3 AND profile = $4
			AND commit_sha <> '' AND commit_sha <> $5 AND repository = $6 AND seq < $7
		ORDER BY seq`+t.tx.ForUpdate(), b.Project, b.Origin.Branch, b.Platform, b.Profile, b.Origin.Commit, b.Origin.Repository, b.Seq)
	return collect(rows, err, "superseded builds")
}
