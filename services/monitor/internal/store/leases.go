package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// MaxTTL bounds the TTL that a heartbeat may ask for: after a restart verdicts wait for one TTL.
const MaxTTL = time.Hour

// MaxStage is how long the scheduler lets a stage's name be, in bytes.
const MaxStage = 64

// Leases is the table of attempts under watch.
type Leases struct{ base }

// Lease is a running attempt under watch.
type Lease struct {
	BuildID  string
	Attempt  int32
	WorkerID string
	Stage    string
	// TTL is the heartbeat timeout; Since the last time that the worker was known to be alive; LookAt when the key is read next.
	TTL           time.Duration
	Since, LookAt time.Time
	// Project is empty if it is not known. Heard is when telemetry last came, zero if never. Extended: its key is gone, and the
	// verdict waits.
	Project  string
	Heard    time.Time
	Extended bool
	// Seq is the event's place in its stream; 0 if the lease was asked for. It is only written.
	Seq uint64
}

const leaseColumns = `build_id, attempt, worker_id, stage, ttl_ms, since, look_at, project, heard, extended`

// Watch adds a lease or renews it. It does nothing if the attempt has ended, or the row is of a later attempt or event, so events may
// come in any order.
func (s *Leases) Watch(ctx context.Context, l Lease) error {
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

// Forget deletes the lease of an attempt that has ended or of an earlier one, and remembers that until ForgetEnded. If another replica
// handles an event of the attempt at the same moment, the lease may stay; then a verdict on it changes nothing at the scheduler.
func (s *Leases) Forget(ctx context.Context, buildID string, attempt int32, at time.Time) error {
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

// ForgetEnded deletes what is remembered of attempts that ended before a time.
func (s *Leases) ForgetEnded(ctx context.Context, before time.Time) error {
	return s.exec(ctx, "forget ended attempts", `DELETE FROM ended_leases WHERE at < $1`, before.UnixMilli())
}

// Suspect makes the lease due at the given time, or earlier if it is due then.
func (s *Leases) Suspect(ctx context.Context, buildID string, attempt int32, at time.Time) error {
	return s.exec(ctx, "suspect "+buildID, `UPDATE leases SET look_at = $1 WHERE build_id = $2 AND attempt = $3 AND look_at > $1`,
		at.UnixMilli(), buildID, attempt)
}

// SuspectAll makes every lease due no later than its TTL and the grace after a time. A lease can only be due later if the wall clock
// was set back.
func (s *Leases) SuspectAll(ctx context.Context, since time.Time, grace time.Duration) error {
	return s.exec(ctx, "suspect all leases", `UPDATE leases SET look_at = $1 + ttl_ms + $2
		WHERE extended = 0 AND look_at > $1 + ttl_ms + $2`, since.UnixMilli(), grace.Milliseconds())
}

// Alive records what was seen of a due lease. It does nothing if the row has changed: what came meanwhile (an expiry, a stage) is newer.
func (s *Leases) Alive(ctx context.Context, due, seen Lease) error {
	return s.exec(ctx, "keep watching "+due.BuildID, `UPDATE leases SET stage = $1, ttl_ms = $2, since = $3, look_at = $4,
			extended = 0 WHERE build_id = $5 AND attempt = $6 AND look_at = $7`,
		seen.Stage, seen.TTL.Milliseconds(), seen.Since.UnixMilli(), seen.LookAt.UnixMilli(),
		due.BuildID, due.Attempt, due.LookAt.UnixMilli())
}

// Extend makes a due lease due once more before a verdict.
func (s *Leases) Extend(ctx context.Context, due Lease, at time.Time) error {
	return s.exec(ctx, "wait on for "+due.BuildID, `UPDATE leases SET extended = 1, look_at = $1
		WHERE build_id = $2 AND attempt = $3 AND look_at = $4`,
		at.UnixMilli(), due.BuildID, due.Attempt, due.LookAt.UnixMilli())
}

// Due returns at most 500 leases that are due and whose full TTL has passed since a time.
func (s *Leases) Due(ctx context.Context, now, since time.Time) ([]Lease, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+leaseColumns+` FROM leases
		WHERE look_at <= $1 AND ttl_ms <= $2 ORDER BY look_at LIMIT 500`, now.UnixMilli(), now.Sub(since).Milliseconds())
	return collect(rows, err)
}

// Any reports whether there are leases.
func (s *Leases) Any(ctx context.Context) (watching bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM leases)`).Scan(&watching)
	if err != nil {
		return false, fmt.Errorf("read leases: %w", err)
	}
	return watching, nil
}

// All returns all leases.
func (s *Leases) All(ctx context.Context) ([]Lease, error) {
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

// Stall is the verdict on a due lease: it deletes the row and emits the event, in one transaction. It returns false, and changes
// nothing, if the lease was renewed, ended or decided since, or telemetry came.
func (s *Leases) Stall(ctx context.Context, due Lease, event bus.Message) (bool, error) {
	return s.decide(ctx, event, `DELETE FROM leases WHERE build_id = $1 AND attempt = $2 AND look_at = $3 AND heard = $4`,
		due.BuildID, due.Attempt, due.LookAt.UnixMilli(), heardMilli(due))
}

func heardMilli(l Lease) int64 {
	if l.Heard.IsZero() {
		return 0
	}
	return l.Heard.UnixMilli()
}

// Project returns the project of a build under watch, false if it is not.
func (s *Leases) Project(ctx context.Context, buildID string) (project string, ok bool, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT project FROM leases WHERE build_id = $1`, buildID)
	if err != nil {
		return "", false, fmt.Errorf("project of %s: %w", buildID, err)
	}
	defer rows.Close()
	if rows.Next() {
		ok, err = true, rows.Scan(&project)
	}
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		return "", false, fmt.Errorf("project of %s: %w", buildID, err)
	}
	return project, ok, nil
}
