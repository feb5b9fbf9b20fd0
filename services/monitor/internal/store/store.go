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

// Ping asks the database for nothing.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.db.Read().QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("ask the database: %w", err)
	}
	return nil
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
	// Project is empty if it is not known. Heard is when telemetry last came, zero if never. Extended: its key is gone, and it is
	// waited for all the same.
	Project  string
	Heard    time.Time
	Extended bool
	// Seq is the place in the stream of events of what was heard; 0 if it was asked for. It is only written.
	Seq uint64
}

const leaseColumns = `build_id, attempt, worker_id, stage, ttl_ms, since, look_at, project, heard, extended`

// Watch adds a lease or renews it. An attempt that has ended, and a row of a later attempt or from a
// later event, are left alone, so events may be heard in any order.
func (s *Store) Watch(ctx context.Context, l Lease) error {
	return s.exec(ctx, "watch "+l.BuildID, `INSERT INTO leases (build_id, attempt, worker_id, stage, ttl_ms, since, look_at, project, seq)
		SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT), CAST($6 AS BIGINT),
			CAST($7 AS BIGINT), CAST($8 AS TEXT), CAST($9 AS BIGINT)
		WHERE NOT EXISTS (SELECT 1 FROM ended_leases WHERE build_id = $1 AND attempt >= $2)
		ON CONFLICT (build_id) DO UPDATE SET attempt = excluded.attempt, worker_id = excluded.worker_id,
			stage = excluded.stage, ttl_ms = excluded.ttl_ms, since = excluded.since, look_at = excluded.look_at,
			project = excluded.project, extended = 0, seq = excluded.seq
		WHERE leases.attempt < excluded.attempt OR leases.attempt = excluded.attempt AND leases.seq <= excluded.seq`,
		l.BuildID, l.Attempt, l.WorkerID, l.Stage, l.TTL.Milliseconds(), l.Since.UnixMilli(), l.LookAt.UnixMilli(), l.Project,
		int64(l.Seq)) // a stream's sequence
}

// Forget drops a lease that has ended, of this attempt or an earlier one, and remembers that until
// ForgetEnded. If an event of the attempt is heard at the same moment on another replica, the lease may
// stay; then the verdict on it changes nothing at the scheduler.
func (s *Store) Forget(ctx context.Context, buildID string, attempt int32, at time.Time) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO ended_leases (build_id, attempt, at) VALUES ($1, $2, $3)
			ON CONFLICT (build_id) DO UPDATE SET attempt = excluded.attempt, at = excluded.at
			WHERE ended_leases.attempt < excluded.attempt`, buildID, attempt, at.UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM leases WHERE build_id = $1 AND attempt <= $2`, buildID, attempt)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget %s: %w", buildID, err)
	}
	return nil
}

// ForgetEnded drops what is remembered of attempts that ended before a time.
func (s *Store) ForgetEnded(ctx context.Context, before time.Time) error {
	return s.exec(ctx, "forget ended attempts", `DELETE FROM ended_leases WHERE at < $1`, before.UnixMilli())
}

// Suspect has the lease looked at no later than at.
func (s *Store) Suspect(ctx context.Context, buildID string, attempt int32, at time.Time) error {
	return s.exec(ctx, "suspect "+buildID, `UPDATE leases SET look_at = $1 WHERE build_id = $2 AND attempt = $3 AND look_at > $1`,
		at.UnixMilli(), buildID, attempt)
}

// SuspectLeases has every lease looked at no later than its TTL and the grace after held. A look can
// only be later because the wall clock was set back.
func (s *Store) SuspectLeases(ctx context.Context, held time.Time, grace time.Duration) error {
	return s.exec(ctx, "suspect all leases", `UPDATE leases SET look_at = $1 + ttl_ms + $2
		WHERE extended = 0 AND look_at > $1 + ttl_ms + $2`, held.UnixMilli(), grace.Milliseconds())
}

// Alive turns a due lease into what was seen of it. If it is no longer as it was, nothing changes: what was heard meanwhile (an
// expiry, a stage) is newer than the look.
func (s *Store) Alive(ctx context.Context, due, seen Lease) error {
	return s.exec(ctx, "keep watching "+due.BuildID, `UPDATE leases SET stage = $1, ttl_ms = $2, since = $3, look_at = $4,
			extended = 0 WHERE build_id = $5 AND attempt = $6 AND look_at = $7`,
		seen.Stage, seen.TTL.Milliseconds(), seen.Since.UnixMilli(), seen.LookAt.UnixMilli(),
		due.BuildID, due.Attempt, due.LookAt.UnixMilli())
}

// Extend has a due lease looked at once more, at at, before a verdict.
func (s *Store) Extend(ctx context.Context, due Lease, at time.Time) error {
	return s.exec(ctx, "wait on for "+due.BuildID, `UPDATE leases SET extended = 1, look_at = $1
		WHERE build_id = $2 AND attempt = $3 AND look_at = $4`,
		at.UnixMilli(), due.BuildID, due.Attempt, due.LookAt.UnixMilli())
}

// Due gives leases to be looked at now, at most 500: those whose time has come and whose full TTL has passed since held.
func (s *Store) Due(ctx context.Context, now, held time.Time) ([]Lease, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+leaseColumns+` FROM leases
		WHERE look_at <= $1 AND ttl_ms <= $2 ORDER BY look_at LIMIT 500`, now.UnixMilli(), now.Sub(held).Milliseconds())
	return collect(rows, err)
}

// Watching says whether there are leases at all.
func (s *Store) Watching(ctx context.Context) (watching bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM leases)`).Scan(&watching)
	if err != nil {
		return false, fmt.Errorf("read leases: %w", err)
	}
	return watching, nil
}

// Leases gives everything under watch.
func (s *Store) Leases(ctx context.Context) ([]Lease, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+leaseColumns+` FROM leases`)
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
		var ttl, since, look, heard, extended int64
		if err := rows.Scan(&l.BuildID, &l.Attempt, &l.WorkerID, &l.Stage, &ttl, &since, &look, &l.Project, &heard, &extended); err != nil {
			return nil, fmt.Errorf("read leases: %w", err)
		}
		l.TTL, l.Since, l.LookAt = time.Duration(ttl)*time.Millisecond, time.UnixMilli(since), time.UnixMilli(look)
		if l.Extended = extended != 0; heard > 0 {
			l.Heard = time.UnixMilli(heard)
		}
		all = append(all, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	return all, nil
}

// errGone ends a verdict's transaction when its ground is gone: another monitor was first, or life showed.
var errGone = errors.New("no longer due")

// Stall is the verdict on a due lease: its row goes and the event goes out, together, once. It says whether it was this
// call's: a lease that was renewed, heard of, ended or decided since it was due stays as it is.
func (s *Store) Stall(ctx context.Context, due Lease, event bus.Message) (bool, error) {
	return s.decide(ctx, event, `DELETE FROM leases WHERE build_id = $1 AND attempt = $2 AND look_at = $3 AND heard = $4`,
		due.BuildID, due.Attempt, due.LookAt.UnixMilli(), heardMilli(due))
}

func heardMilli(l Lease) int64 {
	if l.Heard.IsZero() {
		return 0
	}
	return l.Heard.UnixMilli()
}

func (s *Store) decide(ctx context.Context, event bus.Message, q string, args ...any) (bool, error) {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, q, args...)
		if err != nil {
			return fmt.Errorf("record the verdict: %w", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return fmt.Errorf("record the verdict: %w", err)
		}
		if n == 0 {
			return errGone
		}
		return outbox.Emit(ctx, tx, event)
	})
	if errors.Is(err, errGone) {
		return false, nil
	}
	return err == nil, err
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
