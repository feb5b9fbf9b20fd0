package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Log is where the log of a build that has ended is.
type Log struct {
	BuildID string
	EndedAt time.Time
	// DueAt is when its next step is due; zero: never.
	DueAt time.Time
	// ObjectID is the archive, empty for none yet or no more.
	ObjectID   string
	Lines      int64
	ThroughSeq uint64
	ArchivedAt time.Time
	RemovedAt  time.Time
	// ExpiredAt is when the build expired; zero if it has not. An expired row has nothing else.
	ExpiredAt time.Time
}

// Logs is the table of logs.
type Logs struct{ base }

// NoteEnded records the end of a build and when its log is due. It changes nothing if the build is known.
func (s *Logs) NoteEnded(ctx context.Context, buildID string, ended, due time.Time) error {
	_, err := s.change(ctx, "note the log of "+buildID, `INSERT INTO build_logs (build_id, ended_ms, due_ms) VALUES ($1, $2, $3)
		ON CONFLICT DO NOTHING`, buildID, millis(ended), millis(due))
	return err
}

const logColumns = `SELECT build_id, ended_ms, due_ms, object_id, lines, through_seq, archived_ms, removed_ms, expired_ms FROM build_logs `

// Log returns a row, or ErrNotFound.
func (s *Logs) Log(ctx context.Context, buildID string) (Log, error) {
	l, err := scanLog(s.db.Read().QueryRowContext(ctx, logColumns+`WHERE build_id = $1`, buildID))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Log{}, fmt.Errorf("get the log of %s: %w", buildID, err)
	}
	return l, nil
}

// DueLogs returns up to limit rows that are due, the longest due first.
func (s *Logs) DueLogs(ctx context.Context, now time.Time, limit int) (all []Log, err error) {
	rows, err := s.db.Read().QueryContext(ctx, logColumns+`WHERE due_ms > 0 AND due_ms <= $1 ORDER BY due_ms, build_id LIMIT $2`,
		millis(now), limit)
	if err != nil {
		return nil, fmt.Errorf("list logs that are due: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		l, err := scanLog(rows)
		if err != nil {
			return nil, fmt.Errorf("list logs that are due: %w", err)
		}
		all = append(all, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list logs that are due: %w", err)
	}
	return all, nil
}

func scanLog(row interface{ Scan(...any) error }) (l Log, err error) {
	var ended, due, archived, removed, expired, through int64
	err = row.Scan(&l.BuildID, &ended, &due, &l.ObjectID, &l.Lines, &through, &archived, &removed, &expired)
	l.ExpiredAt = fromMillis(expired)
	l.EndedAt, l.DueAt, l.ArchivedAt, l.RemovedAt = fromMillis(ended), fromMillis(due), fromMillis(archived), fromMillis(removed)
	l.ThroughSeq = uint64(through)
	return l, err
}

// Postpone sets when a log is due next (zero: never). It returns false if the row is not as seen any more.
func (s *Logs) Postpone(ctx context.Context, seen Log, due time.Time) (bool, error) {
	n, err := s.change(ctx, "postpone the log of "+seen.BuildID,
		`UPDATE build_logs SET due_ms = $1 WHERE build_id = $2 AND due_ms = $3 AND object_id = $4`,
		millis(due), seen.BuildID, millis(seen.DueAt), seen.ObjectID)
	return n == 1, err
}

// SaveArchive makes the object l.ObjectID the archive of l.BuildID and keeps it. The archive before it, which must be was, expires.
// It returns false if another archive was faster, or the build has expired.
func (s *Logs) SaveArchive(ctx context.Context, was string, l Log, expires time.Time) (won bool, err error) {
	err = s.tx(ctx, "save the log of "+l.BuildID, func(tx *database.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `INSERT INTO build_logs
			(build_id, ended_ms, due_ms, object_id, lines, through_seq, archived_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (build_id) DO UPDATE SET due_ms = excluded.due_ms, object_id = excluded.object_id, lines = excluded.lines,
			through_seq = excluded.through_seq, archived_ms = excluded.archived_ms, removed_ms = 0
			WHERE build_logs.object_id = $8 AND build_logs.expired_ms = 0`,
			l.BuildID, millis(l.EndedAt), millis(l.DueAt), l.ObjectID, l.Lines, int64(l.ThroughSeq), millis(l.ArchivedAt), was)) // a stream has fewer
		if won = n == 1; err != nil || !won {
			return err
		}
		n, err = affected(tx.ExecContext(ctx, `UPDATE objects SET state = 'kept', expires_ms = 0
			WHERE id = $1 AND state IN ('stored', 'kept')`, l.ObjectID))
		if err := orElse(n, err, ErrNotFound); err != nil {
			return err
		}
		return expire(ctx, tx, was, expires)
	})
	return won, err
}

// RemoveArchive removes the archive from its row; its object expires. It returns false if the archive is not as seen any more.
func (s *Logs) RemoveArchive(ctx context.Context, seen Log, now time.Time) (won bool, err error) {
	err = s.tx(ctx, "remove the log of "+seen.BuildID, func(tx *database.Tx) error {
		n, err := affected(tx.ExecContext(ctx, `UPDATE build_logs SET object_id = '', removed_ms = $1, due_ms = 0
			WHERE build_id = $2 AND object_id = $3`, millis(now), seen.BuildID, seen.ObjectID))
		if won = n == 1; err != nil || !won {
			return err
		}
		return expire(ctx, tx, seen.ObjectID, now)
	})
	return won, err
}

// expire makes the object of a replaced archive expire.
func expire(ctx context.Context, tx *database.Tx, id string, at time.Time) error {
	if id == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE objects SET state = 'stored', expires_ms = $1 WHERE id = $2 AND state = 'kept'`, millis(at), id)
	return err
}

// ScheduleOld makes the archives of builds that ended before t due now, and returns how many they are.
func (s *Logs) ScheduleOld(ctx context.Context, t, now time.Time) (int64, error) {
	return s.change(ctx, "look for old logs", `UPDATE build_logs SET due_ms = $1
		WHERE object_id <> '' AND ended_ms < $2 AND (due_ms = 0 OR due_ms > $1)`, millis(now), millis(t))
}

// ExpireLog marks the log of a build as expired: no archive is saved from now on, and the log is never due.
func (s *Logs) ExpireLog(ctx context.Context, buildID string, now time.Time) error {
	_, err := s.change(ctx, "expire the log of "+buildID, `INSERT INTO build_logs (build_id, ended_ms, due_ms, expired_ms) VALUES ($1, $2, 0, $2)
		ON CONFLICT (build_id) DO UPDATE SET due_ms = 0, object_id = '', expired_ms = excluded.expired_ms`, buildID, millis(now))
	return err
}

// ForgetExpired deletes the marks of logs that expired before t.
func (s *Logs) ForgetExpired(ctx context.Context, t time.Time) error {
	_, err := s.change(ctx, "forget expired logs", `DELETE FROM build_logs WHERE expired_ms > 0 AND expired_ms < $1`, millis(t))
	return err
}
