package retention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// maxPolicies bounds the projects with a policy of their own: each is a row of the plan's query.
const maxPolicies = 1000

// Store reads and writes the tables of this package in the scheduler's schema, which must have been migrated. It is safe for
// concurrent use.
type Store struct{ db *database.DB }

// NewStore returns the store of db.
func NewStore(db *database.DB) *Store { return &Store{db: db} }

// querier is a transaction or the read side.
type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

// Policies returns those of the farm and its projects.
func (s *Store) Policies(ctx context.Context) (Policies, error) { return policies(ctx, s.db.Read()) }

func policies(ctx context.Context, q querier) (all Policies, err error) {
	rows, err := q.QueryContext(ctx, `SELECT project, max_age_ms, max_builds, max_bytes, farm_bytes, keep_last, keep_last_age_ms,
		worker_age_ms, inherits, set_at, effective_at FROM retention_policies ORDER BY project`)
	if err != nil {
		return all, fmt.Errorf("read retention policies: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p Policy
		var age, keepAge, workerAge, set, effective int64
		err := rows.Scan(&p.Project, &age, &p.MaxBuilds, &p.MaxBytes, &p.FarmBytes, &p.KeepLast, &keepAge, &workerAge, &p.Inherits,
			&set, &effective)
		if err != nil {
			return all, fmt.Errorf("read retention policies: %w", err)
		}
		p.MaxAge, p.KeepLastAge, p.WorkerAge = span(age), span(keepAge), span(workerAge)
		p.SetAt, p.EffectiveAt = store.FromMillis(set), store.FromMillis(effective)
		if p.Project == "" {
			all.Farm = p
		} else {
			all.Projects = append(all.Projects, p)
		}
	}
	if err := rows.Err(); err != nil {
		return all, fmt.Errorf("read retention policies: %w", err)
	}
	return all, nil
}

// NextEffective returns when the next policy that waits takes effect; zero if none waits.
func (s *Store) NextEffective(ctx context.Context, now time.Time) (time.Time, error) {
	var next sql.NullInt64
	err := s.db.Read().QueryRowContext(ctx, `SELECT min(effective_at) FROM retention_policies WHERE effective_at > $1`, store.Millis(now)).Scan(&next)
	if err != nil {
		return time.Time{}, fmt.Errorf("read retention policies: %w", err)
	}
	return store.FromMillis(next.Int64), nil
}

// SetPolicy replaces a project's policy, or the farm's. build.ErrInvalid if too many projects have one.
func (s *Store) SetPolicy(ctx context.Context, p Policy) error {
	return s.tx(ctx, "set a retention policy", func(tx *database.Tx) error {
		if p.Project != "" {
			var others int
			err := tx.QueryRowContext(ctx, `SELECT count(*) FROM retention_policies WHERE project NOT IN ('', $1)`, p.Project).Scan(&others)
			if err == nil && others >= maxPolicies {
				err = fmt.Errorf("%w: %d projects have a retention policy of their own; remove one first", build.ErrInvalid, others)
			}
			if err != nil {
				return err
			}
		}
		return putPolicy(ctx, tx, p)
	})
}

func putPolicy(ctx context.Context, tx *database.Tx, p Policy) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO retention_policies (project, max_age_ms, max_builds, max_bytes, farm_bytes, keep_last,
			keep_last_age_ms, worker_age_ms, inherits, set_at, effective_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (project) DO UPDATE SET max_age_ms = excluded.max_age_ms, max_builds = excluded.max_builds,
			max_bytes = excluded.max_bytes, farm_bytes = excluded.farm_bytes, keep_last = excluded.keep_last,
			keep_last_age_ms = excluded.keep_last_age_ms, worker_age_ms = excluded.worker_age_ms, inherits = excluded.inherits,
			set_at = excluded.set_at, effective_at = excluded.effective_at`,
		p.Project, p.MaxAge.Milliseconds(), p.MaxBuilds, p.MaxBytes, p.FarmBytes, bit(p.KeepLast), p.KeepLastAge.Milliseconds(),
		p.WorkerAge.Milliseconds(), bit(p.Inherits), store.Millis(p.SetAt), store.Millis(p.EffectiveAt))
	return err
}

// RemovePolicy removes the farm's policy at once. A project's own gives way to the farm's, which waits until effective.
func (s *Store) RemovePolicy(ctx context.Context, project string, now, effective time.Time) error {
	return s.tx(ctx, "remove a retention policy", func(tx *database.Tx) error {
		if project == "" {
			_, err := tx.ExecContext(ctx, `DELETE FROM retention_policies WHERE project = ''`)
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE retention_policies SET inherits = 1, set_at = $1, effective_at = $2
			WHERE project = $3 AND inherits = 0`, store.Millis(now), store.Millis(effective), project)
		return err
	})
}

// Settle forgets the marks of removed policies whose time has come.
func (s *Store) Settle(ctx context.Context, now time.Time) error {
	return s.tx(ctx, "settle removed retention policies", func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM retention_policies WHERE inherits = 1 AND effective_at <= $1`, store.Millis(now))
		return err
	})
}

// Seed returns a new farm its first policy; false if the farm is not new, or has been given one.
func (s *Store) Seed(ctx context.Context, p Policy) (seeded bool, err error) {
	err = s.tx(ctx, "seed the retention policy", func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE retention_state SET seed = 0 WHERE id = 1 AND seed = 1`)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if seeded = n == 1; err != nil || !seeded {
			return err
		}
		return putPolicy(ctx, tx, p)
	})
	return seeded, err
}

// Sweep is what the last sweep did. Its times are zero if there was none.
type Sweep struct {
	BeganAt, EndedAt       time.Time
	Builds, Bytes, Workers int64
	Error                  string
}

// Acquire makes holder the one that sweeps, until until; false if another one does.
func (s *Store) Acquire(ctx context.Context, holder string, now, until time.Time) (won bool, err error) {
	err = s.tx(ctx, "take the retention sweep", func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE retention_state SET holder = $1, held_until = $2
			WHERE id = 1 AND (holder = $1 OR held_until < $3)`, holder, store.Millis(until), store.Millis(now))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		won = n == 1
		return err
	})
	return won, err
}

// Record writes what holder's sweep does, and with release ends its turn.
func (s *Store) Record(ctx context.Context, holder string, w Sweep, release bool) error {
	return s.tx(ctx, "record the retention sweep", func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE retention_state SET began_at = $1, ended_at = $2, builds = $3, bytes = $4, workers = $5,
			error = $6, held_until = CASE WHEN $7 = 1 THEN 0 ELSE held_until END WHERE id = 1 AND holder = $8`,
			store.Millis(w.BeganAt), store.Millis(w.EndedAt), w.Builds, w.Bytes, w.Workers, w.Error, bit(release), holder)
		return err
	})
}

// Status is what people see of retention.
type Status struct {
	Last Sweep
	// Cleaning and Expired count traces: those with work left, and all.
	Cleaning, Expired, Pinned int64
}

// Status reads it.
func (s *Store) Status(ctx context.Context) (st Status, err error) {
	var began, ended int64
	err = s.db.Read().QueryRowContext(ctx, `SELECT began_at, ended_at, builds, bytes, workers, error,
			(SELECT count(*) FROM expired_builds WHERE cleaned_at = 0), (SELECT count(*) FROM expired_builds),
			(SELECT count(*) FROM build_pins) FROM retention_state WHERE id = 1`).
		Scan(&began, &ended, &st.Last.Builds, &st.Last.Bytes, &st.Last.Workers, &st.Last.Error, &st.Cleaning, &st.Expired, &st.Pinned)
	if err != nil {
		return st, fmt.Errorf("read the state of retention: %w", err)
	}
	st.Last.BeganAt, st.Last.EndedAt = store.FromMillis(began), store.FromMillis(ended)
	return st, nil
}

func (s *Store) tx(ctx context.Context, doing string, f func(*database.Tx) error) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	if err := s.db.WithTx(ctx, f); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// same says whether nobody changed a policy.
func (ps Policies) same(other Policies) bool {
	return ps.Farm == other.Farm && slices.Equal(ps.Projects, other.Projects)
}

func missing(err error) bool { return errors.Is(err, sql.ErrNoRows) }

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func span(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
