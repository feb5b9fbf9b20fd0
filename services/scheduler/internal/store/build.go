package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// The columns of a build. The brief ones leave out the objects, whose unpacking is most of the work of reading a build.
const (
	columnsHead = `seq, id, project, platform, pool, state, attempt, lost, worker_id, stage, priority, error, profile, `
	columnsTail = `, retry_of, submitted_at, queued_at, assigned_at, started_at, finished_at, not_before,
	timeout_ms, stage_ttl_ms, stage_at, repository, commit_sha, branch, vstart, vfinish, offered_at, offers, requires,
	repack_from, native_fingerprint`
	buildColumns = columnsHead + `source, certs, result, settings, artifacts` + columnsTail
	briefColumns = columnsHead + `'', '', '', '', ''` + columnsTail
)

// scanner is a row or rows.
type scanner interface{ Scan(dest ...any) error }

func scanBuild(row scanner, more ...any) (Build, error) {
	var b Build
	var source, certs, result, settings, artifacts, requires, repackFrom string
	var at [8]int64
	var timeout, ttl int64
	err := row.Scan(append([]any{&b.Seq, &b.ID, &b.Project, &b.Platform, &b.Pool, &b.State, &b.Attempt, &b.Lost, &b.WorkerID, &b.Stage,
		&b.Priority, &b.Error, &b.Profile, &source, &certs, &result, &settings, &artifacts, &b.RetryOf, &at[0], &at[1], &at[2], &at[3], &at[4], &at[5],
		&timeout, &ttl, &at[6], &b.Origin.Repository, &b.Origin.Commit, &b.Origin.Branch, &b.VStart, &b.VFinish, &at[7], &b.Offers, &requires,
		&repackFrom, &b.NativeFingerprint}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Build{}, build.ErrNotFound
	}
	if err != nil {
		return Build{}, fmt.Errorf("read a build: %w", err)
	}
	b.SubmittedAt, b.QueuedAt, b.AssignedAt = FromMillis(at[0]), FromMillis(at[1]), FromMillis(at[2])
	b.StartedAt, b.FinishedAt, b.NotBefore = FromMillis(at[3]), FromMillis(at[4]), FromMillis(at[5])
	b.Timeout, b.StageTTL, b.StageAt = time.Duration(timeout)*time.Millisecond, time.Duration(ttl)*time.Millisecond, FromMillis(at[6])
	b.OfferedAt = FromMillis(at[7])
	if b.Source, err = refOf(source); err != nil {
		return Build{}, err
	}
	if b.Certs, err = refOf(certs); err != nil {
		return Build{}, err
	}
	if b.Result, err = refOf(result); err != nil {
		return Build{}, err
	}
	if b.Artifacts, err = artifactsOf(artifacts); err != nil {
		return Build{}, err
	}
	b.Settings, err = settingsOf(settings)
	b.Settings.Requires, b.Settings.RepackFrom = build.Requirements(requires), repackFrom
	return b, err
}

// settingsText keeps settings as JSON, so that an operator can read them in the table. Requirements and what is
// repacked have columns of their own.
func settingsText(s build.Settings) (string, error) {
	s.Requires, s.RepackFrom = "", ""
	if s == (build.Settings{}) {
		return "", nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("pack build settings: %w", err)
	}
	return string(text), nil
}

func settingsOf(text string) (s build.Settings, err error) {
	if text == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("unpack build settings: %w", err)
	}
	return s, nil
}

// refText keeps object references as JSON, so that an operator can read them in the table.
func refText(r *eventsv1.ObjectRef) (string, error) {
	if r == nil || r.GetObjectId() == "" {
		return "", nil
	}
	text, err := protojson.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("pack object reference: %w", err)
	}
	return string(text), nil
}

func refOf(text string) (*eventsv1.ObjectRef, error) {
	if text == "" {
		return nil, nil // no object is a normal answer
	}
	r := new(eventsv1.ObjectRef)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(text), r); err != nil {
		return nil, fmt.Errorf("unpack object reference: %w", err)
	}
	return r, nil
}

// InsertBuild adds a build and gives its seq. An id that exists already is ErrConflict.
func (t *Tx) InsertBuild(ctx context.Context, b Build) (int64, error) {
	source, err := refText(b.Source)
	if err != nil {
		return 0, err
	}
	certs, err := refText(b.Certs)
	if err != nil {
		return 0, err
	}
	settings, err := settingsText(b.Settings)
	if err != nil {
		return 0, err
	}
	var seq int64
	var expired bool
	err = t.tx.QueryRowContext(ctx, `INSERT INTO builds
		(id, project, platform, pool, state, attempt, priority, profile, source, certs, retry_of, submitted_at, repository,
			commit_sha, branch, settings, requires, repack_from)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (id) DO NOTHING
		RETURNING seq, EXISTS (SELECT 1 FROM expired_builds e WHERE e.id = $1)`,
		b.ID, b.Project, b.Platform, b.Pool, b.State, b.Attempt, b.Priority, b.Profile, source, certs, b.RetryOf,
		Millis(b.SubmittedAt), b.Origin.Repository, b.Origin.Commit, b.Origin.Branch, settings, b.Settings.Requires,
		b.Settings.RepackFrom).Scan(&seq, &expired)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("insert build %s: %w", b.ID, err)
	}
	if expired {
		return 0, fmt.Errorf("build %s: %w", b.ID, build.ErrExpired)
	}
	return seq, nil
}

// Build reads one build and, on PostgreSQL, locks its row until the transaction ends.
func (t *Tx) Build(ctx context.Context, id string) (Build, error) {
	return scanBuild(t.tx.QueryRowContext(ctx, `SELECT `+buildColumns+` FROM builds WHERE id = $1`+t.tx.ForUpdate(), id))
}

// SaveBuild replaces was by now: a compare-and-set on state and attempt.
func (t *Tx) SaveBuild(ctx context.Context, was, now Build) error {
	result, err := refText(now.Result)
	if err != nil {
		return err
	}
	res, err := t.tx.ExecContext(ctx, `UPDATE builds SET state = $1, attempt = $2, lost = $3, worker_id = $4, stage = $5,
		error = $6, result = $7, queued_at = $8, assigned_at = $9, started_at = $10, finished_at = $11, not_before = $12,
			timeout_ms = $13, stage_ttl_ms = $14, stage_at = $15, vstart = $16, vfinish = $17, offered_at = $18, offers = $19
		WHERE id = $20 AND state = $21 AND attempt = $22`,
		now.State, now.Attempt, now.Lost, now.WorkerID, now.Stage, now.Error, result, Millis(now.QueuedAt),
		Millis(now.AssignedAt), Millis(now.StartedAt), Millis(now.FinishedAt), Millis(now.NotBefore),
		now.Timeout.Milliseconds(), now.StageTTL.Milliseconds(), Millis(now.StageAt),
		now.VStart, now.VFinish, Millis(now.OfferedAt), now.Offers, was.ID, was.State, was.Attempt)
	if err := oneRow(res, err, "save build "+was.ID); err != nil {
		return err
	}
	if now.State == build.Completed || now.State == build.Failed {
		return t.count(ctx, now)
	}
	return nil
}

// count adds a build that has just ended to the totals. A state is final, so it is counted once.
func (t *Tx) count(ctx context.Context, b Build) error {
	took := int64(0)
	if !b.AssignedAt.IsZero() {
		took = b.FinishedAt.Sub(b.AssignedAt).Milliseconds()
	}
	if _, err := t.tx.ExecContext(ctx, `UPDATE totals_shards SET ended = ended + 1, build_ms = build_ms + $1 WHERE shard = $2`,
		took, shardOf(b.ID)); err != nil {
		return fmt.Errorf("count build %s: %w", b.ID, err)
	}
	return nil
}

// shards of the totals, so that builds that end at the same moment rarely wait for the same row.
const shards = 64

func shardOf(id string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return int64(h.Sum32() % shards)
}

// oneRow makes an update that met no row a conflict.
func oneRow(res sql.Result, err error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	n, err := res.RowsAffected()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", doing, err)
	case n != 1:
		return fmt.Errorf("%s: %w", doing, ErrConflict)
	}
	return nil
}

// InsertAttempt records a hand-out.
func (t *Tx) InsertAttempt(ctx context.Context, a Attempt) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO attempts (build_id, number, worker_id, worker_name, claimed_at, outcome)
		VALUES ($1, $2, $3, $4, $5, $6)`, a.BuildID, a.Number, a.WorkerID, a.WorkerName, Millis(a.ClaimedAt), a.Outcome)
	if err != nil {
		return fmt.Errorf("insert attempt %d of %s: %w", a.Number, a.BuildID, err)
	}
	return nil
}

// SaveAttempt writes the start or the end of a running attempt.
func (t *Tx) SaveAttempt(ctx context.Context, b Build, o Outcome, ended int64, why string) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE attempts SET outcome = $1, started_at = $2, ended_at = $3, error = $4
		WHERE build_id = $5 AND number = $6 AND outcome = $7`,
		o, Millis(b.StartedAt), ended, why, b.ID, b.Attempt, Running)
	return oneRow(res, err, fmt.Sprintf("save attempt %d of %s", b.Attempt, b.ID))
}
