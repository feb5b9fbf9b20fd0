package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// lastHistory is the highest seq of an imported build; builds submitted here begin above (migration 0005).
const lastHistory = 1_000_000_000

// History reports whether the build was imported. In an installation older than migration 0005, a few of its own count too.
func (b Build) History() bool { return b.Seq <= lastHistory }

// NextHistory returns the seq of the next imported build.
func (t *Tx) NextHistory(ctx context.Context) (int64, error) {
	var last int64
	err := t.tx.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM builds WHERE seq <= $1`, lastHistory).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("find the end of the history: %w", err)
	}
	return last + 1, nil
}

// InsertHistory adds a build as it is, with its seq. A build that has ended counts in the totals. A long wait is not announced: most of
// it was elsewhere.
func (t *Tx) InsertHistory(ctx context.Context, b Build) error {
	refs, err := refTexts(b)
	if err != nil {
		return err
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO builds
		(seq, id, project, platform, pool, state, attempt, worker_id, error, profile, source, certs, result, retry_of,
			submitted_at, assigned_at, started_at, finished_at, wait_told)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 1)`,
		b.Seq, b.ID, b.Project, b.Platform, b.Pool, b.State, b.Attempt, b.WorkerID, b.Error, b.Profile, refs[0], refs[1], refs[2],
		b.RetryOf, Millis(b.SubmittedAt), Millis(b.AssignedAt), Millis(b.StartedAt), Millis(b.FinishedAt))
	if err != nil {
		return fmt.Errorf("import build %s: %w", b.ID, err)
	}
	if b.State == build.Completed || b.State == build.Failed {
		return t.count(ctx, b)
	}
	return nil
}

// FillHistory writes the references of a build's files.
func (t *Tx) FillHistory(ctx context.Context, b Build) error {
	refs, err := refTexts(b)
	if err != nil {
		return err
	}
	res, err := t.tx.ExecContext(ctx, `UPDATE builds SET source = $1, certs = $2, result = $3 WHERE id = $4 AND seq <= $5`,
		refs[0], refs[1], refs[2], b.ID, lastHistory)
	return oneRow(res, err, "fill in the files of build "+b.ID)
}

func refTexts(b Build) (texts [3]string, err error) {
	var errs [3]error
	texts[0], errs[0] = refText(b.Source)
	texts[1], errs[1] = refText(b.Certs)
	texts[2], errs[2] = refText(b.Result)
	return texts, errors.Join(errs[:]...)
}

// InsertEnded adds an attempt that has ended.
func (t *Tx) InsertEnded(ctx context.Context, a Attempt) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO attempts
		(build_id, number, worker_id, worker_name, claimed_at, started_at, ended_at, outcome, error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, a.BuildID, a.Number, a.WorkerID, a.WorkerName, Millis(a.ClaimedAt),
		Millis(a.StartedAt), Millis(a.EndedAt), a.Outcome, a.Error)
	if err != nil {
		return fmt.Errorf("import attempt %d of build %s: %w", a.Number, a.BuildID, err)
	}
	return nil
}

// After returns builds by seq, after the one given.
func (s *Store) After(ctx context.Context, seq int64, limit int32) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx,
		`SELECT `+buildColumns+` FROM builds WHERE seq > $1 ORDER BY seq LIMIT $2`, seq, limit)
	return collect(rows, err, "read builds in order")
}

// WorkersAfter returns workers by id, after the one given.
func (s *Store) WorkersAfter(ctx context.Context, id string, limit int32) ([]Capacity, error) {
	return capacities(ctx, s.db, `WHERE id > $1 ORDER BY id LIMIT $2`, id, limit)
}
