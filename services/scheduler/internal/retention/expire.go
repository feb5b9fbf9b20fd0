package retention

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Trace is what is left of an expired build.
type Trace struct {
	ID, Project, Platform, State, WorkerID string
	Seq                                    int64
	SubmittedAt, AssignedAt, FinishedAt    time.Time
	ExpiredAt                              time.Time
	Rule                                   Rule
	// Policy is the limit that it broke, for people.
	Policy string
	Bytes  int64
}

// errChanged: somebody changed a policy since the plan was made.
var errChanged = errors.New("the retention policies changed meanwhile")

// Expire replaces those of the candidates that still may go by their traces, in one transaction, and returns the traces. Builds
// that were pinned since the plan was made stay, as do all if a policy has changed.
func (s *Store) Expire(ctx context.Context, ps Policies, batch []Candidate, now time.Time) (gone []Trace, err error) {
	err = s.tx(ctx, "expire builds", func(tx *database.Tx) error {
		gone = nil
		have, err := policies(ctx, tx)
		if err != nil {
			return err
		}
		if !have.same(ps) {
			return errChanged
		}
		for _, c := range batch {
			t, ok, err := lockEnded(ctx, tx, c.ID, now)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			p, _, _ := ps.Of(t.Project)
			if c.Rule == RuleFarmBytes {
				p = ps.Farm
			}
			t.ExpiredAt, t.Rule, t.Policy, t.Bytes = now, c.Rule, p.Explain(c.Rule), c.Bytes
			if err := bury(ctx, tx, t); err != nil {
				return fmt.Errorf("build %s: %w", t.ID, err)
			}
			gone = append(gone, t)
		}
		return nil
	})
	if errors.Is(err, errChanged) {
		return nil, nil
	}
	return gone, err
}

// lockEnded reads a build that has ended, is not pinned, was not reused lately and is not being repacked, and keeps it so until the transaction ends.
func lockEnded(ctx context.Context, tx *database.Tx, id string, now time.Time) (t Trace, ok bool, err error) {
	var submitted, assigned, finished int64
	err = tx.QueryRowContext(ctx, `SELECT id, seq, project, platform, state, worker_id, submitted_at, assigned_at, finished_at
		FROM builds WHERE id = $1 AND state IN ('completed', 'failed', 'cancelled')`+tx.ForUpdate(), id).
		Scan(&t.ID, &t.Seq, &t.Project, &t.Platform, &t.State, &t.WorkerID, &submitted, &assigned, &finished)
	if missing(err) {
		return t, false, nil
	}
	if err != nil {
		return t, false, fmt.Errorf("read build %s: %w", id, err)
	}
	t.SubmittedAt, t.AssignedAt, t.FinishedAt = store.FromMillis(submitted), store.FromMillis(assigned), store.FromMillis(finished)
	var pins int
	// A statement of its own: it must see a pin that was committed while this one waited for the lock.
	if err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM build_pins WHERE build_id = $1)
		+ (SELECT count(*) FROM build_keys WHERE build_id = $1 AND reused_at > $2)
		+ (SELECT count(*) FROM builds WHERE repack_from <> '' AND repack_from = $1 AND state NOT IN ('completed', 'failed', 'cancelled'))`, id, store.Millis(now.Add(-reuseHold))).Scan(&pins); err != nil {
		return t, false, fmt.Errorf("what keeps build %s: %w", id, err)
	}
	return t, pins == 0, nil
}

// bury writes the trace and deletes the build. What its workers did stays in their figures.
func bury(ctx context.Context, tx *database.Tx, t Trace) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO expired_builds (id, seq, project, platform, state, worker_id, submitted_at, assigned_at,
			finished_at, expired_at, rule, policy, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, state = excluded.state, finished_at = excluded.finished_at,
			expired_at = excluded.expired_at, rule = excluded.rule, policy = excluded.policy, bytes = excluded.bytes, cleaned_at = 0`,
		t.ID, t.Seq, t.Project, t.Platform, t.State, t.WorkerID, store.Millis(t.SubmittedAt), store.Millis(t.AssignedAt), store.Millis(t.FinishedAt),
		store.Millis(t.ExpiredAt), t.Rule, t.Policy, t.Bytes)
	if err != nil {
		return err
	}
	for _, q := range []string{
		`INSERT INTO expired_attempts (worker_id, completed, failed)
			SELECT worker_id, sum(CASE WHEN outcome = 'completed' THEN 1 ELSE 0 END), sum(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END)
			FROM attempts WHERE build_id = $1 AND outcome IN ('completed', 'failed') AND worker_id IN (SELECT id FROM workers)
			GROUP BY worker_id
			ON CONFLICT (worker_id) DO UPDATE SET completed = expired_attempts.completed + excluded.completed,
				failed = expired_attempts.failed + excluded.failed`,
		`DELETE FROM attempts WHERE build_id = $1`,
		`DELETE FROM builds WHERE id = $1`,
	} {
		if _, err := tx.ExecContext(ctx, q, t.ID); err != nil {
			return err
		}
	}
	return nil
}

const traceColumns = `SELECT id, seq, project, platform, state, worker_id, submitted_at, assigned_at, finished_at, expired_at, rule,
	policy, bytes FROM expired_builds `

// Trace returns what is left of an expired build; build.ErrNotFound if nothing is.
func (s *Store) Trace(ctx context.Context, id string) (Trace, error) {
	t, err := scanTrace(s.db.Read().QueryRowContext(ctx, traceColumns+`WHERE id = $1`, id))
	if missing(err) {
		return t, build.ErrNotFound
	}
	if err != nil {
		return t, fmt.Errorf("read the trace of %s: %w", id, err)
	}
	return t, nil
}

func scanTrace(row interface{ Scan(...any) error }) (t Trace, err error) {
	var at [4]int64
	err = row.Scan(&t.ID, &t.Seq, &t.Project, &t.Platform, &t.State, &t.WorkerID, &at[0], &at[1], &at[2], &at[3], &t.Rule, &t.Policy, &t.Bytes)
	t.SubmittedAt, t.AssignedAt, t.FinishedAt, t.ExpiredAt = store.FromMillis(at[0]), store.FromMillis(at[1]), store.FromMillis(at[2]), store.FromMillis(at[3])
	return t, err
}

// Uncleaned returns traces of builds that other services may still hold parts of, in order, beginning after the one given.
func (s *Store) Uncleaned(ctx context.Context, after Trace, limit int) ([]Trace, error) {
	return s.traces(ctx, `WHERE cleaned_at = 0 AND (expired_at > $1 OR expired_at = $1 AND id > $2) ORDER BY expired_at, id LIMIT $3`,
		store.Millis(after.ExpiredAt), after.ID, limit)
}

// Outlived returns clean traces of builds that expired before t, in order, beginning after the one given.
func (s *Store) Outlived(ctx context.Context, t time.Time, after Trace, limit int) ([]Trace, error) {
	return s.traces(ctx, `WHERE cleaned_at > 0 AND expired_at < $1 AND (expired_at > $2 OR expired_at = $2 AND id > $3)
		ORDER BY expired_at, id LIMIT $4`, store.Millis(t), store.Millis(after.ExpiredAt), after.ID, limit)
}

func (s *Store) traces(ctx context.Context, which string, args ...any) (all []Trace, err error) {
	rows, err := s.db.Read().QueryContext(ctx, traceColumns+which, args...)
	if err != nil {
		return nil, fmt.Errorf("read traces: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		t, err := scanTrace(rows)
		if err != nil {
			return nil, fmt.Errorf("read traces: %w", err)
		}
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read traces: %w", err)
	}
	return all, nil
}

// Cleaned notes that no other service holds anything of these builds.
func (s *Store) Cleaned(ctx context.Context, ids []string, now time.Time) error {
	return s.tx(ctx, "note clean builds", func(tx *database.Tx) error {
		marks, args := list(ids, store.Millis(now))
		_, err := tx.ExecContext(ctx, `UPDATE expired_builds SET cleaned_at = $1 WHERE cleaned_at = 0 AND id IN (`+marks+`)`, args...)
		return err
	})
}

// Forget deletes clean traces.
func (s *Store) Forget(ctx context.Context, ids []string) error {
	return s.tx(ctx, "forget builds", func(tx *database.Tx) error {
		marks, args := list(ids)
		_, err := tx.ExecContext(ctx, `DELETE FROM expired_builds WHERE cleaned_at > 0 AND id IN (`+marks+`)`, args...)
		return err
	})
}

// list writes placeholders for ids behind the other arguments.
func list(ids []string, before ...any) (marks string, args []any) {
	args = before
	all := make([]string, len(ids))
	for i, id := range ids {
		args = append(args, id)
		all[i] = fmt.Sprintf("$%d", len(args))
	}
	return strings.Join(all, ", "), args
}

// Ended counts a worker's attempts in builds that have expired.
func (s *Store) Ended(ctx context.Context, workerID string) (completed, failed int64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT completed, failed FROM expired_attempts WHERE worker_id = $1`, workerID).
		Scan(&completed, &failed)
	if err != nil && !missing(err) {
		return 0, 0, fmt.Errorf("count expired attempts of worker %s: %w", workerID, err)
	}
	return completed, failed, nil
}

// CompletedSince counts expired builds that completed since t.
func (s *Store) CompletedSince(ctx context.Context, t time.Time) (n int64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM expired_builds WHERE state = 'completed' AND finished_at >= $1`,
		store.Millis(t)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count expired builds: %w", err)
	}
	return n, nil
}
