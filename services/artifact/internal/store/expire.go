package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// AllOfBuild returns every row of a build, whatever its state.
func (s *SQL) AllOfBuild(ctx context.Context, buildID string) ([]Object, error) {
	rows, err := s.db.Read().QueryContext(ctx, columns+`WHERE build_id = $1 ORDER BY id`, buildID)
	return collect(rows, err, "objects of build "+buildID)
}

// Measure counts the objects of builds that have bytes, and the bytes.
func (s *SQL) Measure(ctx context.Context, buildIDs []string) (objects, bytes int64, err error) {
	marks, args := make([]string, len(buildIDs)), make([]any, len(buildIDs))
	for i, id := range buildIDs {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), id
	}
	err = s.db.Read().QueryRowContext(ctx, `SELECT count(*), coalesce(sum(size), 0) FROM objects
		WHERE state IN ('stored', 'kept') AND build_id IN (`+strings.Join(marks, ", ")+`)`, args...).Scan(&objects, &bytes)
	if err != nil {
		return 0, 0, fmt.Errorf("measure builds: %w", err)
	}
	return objects, bytes, nil
}

// ExpireLog marks the log of a build as one that nobody wants any more: from now on no archive is saved, and no look is due.
func (s *SQL) ExpireLog(ctx context.Context, buildID string, now time.Time) error {
	_, err := s.change(ctx, "expire the log of "+buildID, `INSERT INTO build_logs (build_id, ended_ms, due_ms, expired_ms) VALUES ($1, $2, 0, $2)
		ON CONFLICT (build_id) DO UPDATE SET due_ms = 0, object_id = '', expired_ms = excluded.expired_ms`, buildID, millis(now))
	return err
}

// ForgetExpired deletes the marks of logs that expired before t.
func (s *SQL) ForgetExpired(ctx context.Context, t time.Time) error {
	_, err := s.change(ctx, "forget expired logs", `DELETE FROM build_logs WHERE expired_ms > 0 AND expired_ms < $1`, millis(t))
	return err
}
