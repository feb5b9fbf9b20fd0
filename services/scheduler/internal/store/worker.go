package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

const workerColumns = `id, name, pool, platforms, slots, labels, version, online, draining, polls, registered_at, seen_at, offers`

func scanWorker(row scanner, more ...any) (Worker, error) {
	var w Worker
	var platforms, labels string
	var online, draining, polls, registered, seen, offers int64
	err := row.Scan(append([]any{&w.ID, &w.Name, &w.Pool, &platforms, &w.Slots, &labels, &w.Version, &online, &draining,
		&polls, &registered, &seen, &offers}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Worker{}, build.ErrWorkerUnknown
	}
	if err != nil {
		return Worker{}, fmt.Errorf("read a worker: %w", err)
	}
	if err := json.Unmarshal([]byte(labels), &w.Labels); err != nil {
		return Worker{}, fmt.Errorf("labels of worker %s: %w", w.ID, err)
	}
	w.Platforms, w.Online, w.Draining, w.Polls, w.Offers = platformsOf(platforms), online != 0, draining != 0, polls != 0, offers != 0
	w.RegisteredAt, w.SeenAt = FromMillis(registered), FromMillis(seen)
	return w, nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// PutWorker adds or replaces a worker's description; whether it is online is left as it was.
func (t *Tx) PutWorker(ctx context.Context, w Worker) error {
	labels, err := json.Marshal(w.Labels)
	if err != nil {
		return fmt.Errorf("pack labels: %w", err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO workers (`+workerColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $9, $8, $8, $10)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, pool = excluded.pool, platforms = excluded.platforms,
			slots = excluded.slots, labels = excluded.labels, version = excluded.version,
			polls = excluded.polls, draining = 0, offers = excluded.offers`,
		w.ID, w.Name, w.Pool, platformsText(w.Platforms), w.Slots, string(labels), w.Version, Millis(w.RegisteredAt), bit(w.Polls), bit(w.Offers))
	if err != nil {
		return fmt.Errorf("put worker %s: %w", w.ID, err)
	}
	return nil
}

// InsertWorker adds a worker that was registered elsewhere, with its times; it is offline.
func (t *Tx) InsertWorker(ctx context.Context, w Worker) error {
	labels, err := json.Marshal(w.Labels)
	if err != nil {
		return fmt.Errorf("pack labels: %w", err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO workers (`+workerColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, $10, 0)`,
		w.ID, w.Name, w.Pool, platformsText(w.Platforms), w.Slots, string(labels), w.Version, bit(w.Polls),
		Millis(w.RegisteredAt), Millis(w.SeenAt))
	if err != nil {
		return fmt.Errorf("take over worker %s: %w", w.ID, err)
	}
	return nil
}

// DeleteWorker forgets a worker; its attempts keep its name.
func (t *Tx) DeleteWorker(ctx context.Context, id string) error {
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM workers WHERE id = $1`, id); err != nil {
		return fmt.Errorf("delete worker %s: %w", id, err)
	}
	return nil
}

// Worker reads one worker and, on PostgreSQL, locks its row, so that its claims come one after the other.
func (t *Tx) Worker(ctx context.Context, id string) (Worker, error) {
	return scanWorker(t.tx.QueryRowContext(ctx, `SELECT `+workerColumns+` FROM workers WHERE id = $1`+t.tx.ForUpdate(), id))
}

// SetOnline writes whether a worker speaks. slots of 0 leaves them.
func (t *Tx) SetOnline(ctx context.Context, id string, online bool, slots int32, at time.Time) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE workers SET online = $1, seen_at = $2,
		slots = CASE WHEN $3 > 0 THEN $3 ELSE slots END WHERE id = $4`, bit(online), Millis(at), slots, id)
	if err != nil {
		return fmt.Errorf("set worker %s online: %w", id, err)
	}
	return nil
}

// SaveReported writes what a worker reports of itself: whether it drains, its labels, and whether it understands offers.
func (t *Tx) SaveReported(ctx context.Context, w Worker) error {
	labels, err := json.Marshal(w.Labels)
	if err != nil {
		return fmt.Errorf("pack labels: %w", err)
	}
	if _, err := t.tx.ExecContext(ctx, `UPDATE workers SET draining = $1, labels = $2, offers = $3 WHERE id = $4`,
		bit(w.Draining), string(labels), bit(w.Offers), w.ID); err != nil {
		return fmt.Errorf("save what worker %s reports: %w", w.ID, err)
	}
	return nil
}

const heldBy = `SELECT ` + buildColumns + ` FROM builds
	WHERE worker_id = $1 AND state IN ('assigned', 'building') ORDER BY seq`

// Held returns the builds whose lease the worker holds.
func (t *Tx) Held(ctx context.Context, workerID string) ([]Build, error) {
	rows, err := t.tx.QueryContext(ctx, heldBy, workerID)
	return collect(rows, err, "builds of worker "+workerID)
}

func collect(rows *sql.Rows, err error, doing string) ([]Build, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer rows.Close()
	var all []Build
	for rows.Next() {
		b, err := scanBuild(rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		all = append(all, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return all, nil
}
