package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery. A dead one has failed on every attempt. A skipped one has no receiver;
// its note says why.
const (
	Pending   DeliveryState = "pending"
	Delivered DeliveryState = "delivered"
	Dead      DeliveryState = "dead"
	Skipped   DeliveryState = "skipped"
)

// Delivery is one event for one webhook. Place is the event's sequence in its stream.
type Delivery struct {
	ID, WebhookID, EventID, Event, Subject string
	Place                                  int64
	// Path is relative to the webhook's URL. Note is the reason why the delivery is skipped.
	Path, Note, Body string
	State            DeliveryState
	Attempts         int

	CreatedAt, NextAt, EndedAt time.Time
}

// DeliveryAttempt is one attempt. Status is the HTTP status, 0 without a response.
type DeliveryAttempt struct {
	At     time.Time
	Status int
	Error  string
	Took   time.Duration
}

const deliveryColumns = `id, hook_id, event_id, event, subject, place, path, note, body, created_at, state, attempts, next_at, ended_at`

func scanDelivery(r row) (Delivery, error) {
	var d Delivery
	var created, next, ended int64
	err := r.Scan(&d.ID, &d.WebhookID, &d.EventID, &d.Event, &d.Subject, &d.Place, &d.Path, &d.Note, &d.Body, &created, &d.State, &d.Attempts, &next, &ended)
	if errors.Is(err, sql.ErrNoRows) {
		return d, ErrNoDelivery
	}
	if err != nil {
		return d, fmt.Errorf("read a delivery: %w", err)
	}
	d.CreatedAt, d.NextAt, d.EndedAt = timeOrZero(created), timeOrZero(next), timeOrZero(ended)
	return d, nil
}

// AddDeliveries stores deliveries that are due now or skipped. It keeps existing ones, and adds
// none to a deleted webhook.
func (s *WebhookStore) AddDeliveries(ctx context.Context, all []Delivery) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		for _, d := range all {
			state, ended := Pending, int64(0)
			if d.State == Skipped {
				state, ended = Skipped, d.CreatedAt.UnixMilli()
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO webhook_deliveries (id, hook_id, event_id, event, subject, place, path, note, body, created_at, state,
				next_at, ended_at)
				SELECT CAST($1 AS TEXT), id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT), CAST($6 AS TEXT),
					CAST($7 AS TEXT), CAST($8 AS TEXT), CAST($9 AS BIGINT), CAST($10 AS TEXT), CAST($11 AS BIGINT), CAST($12 AS BIGINT)
				FROM webhooks WHERE id = $13 ON CONFLICT (id) DO NOTHING`,
				d.ID, d.EventID, d.Event, d.Subject, d.Place, d.Path, d.Note, d.Body, d.CreatedAt.UnixMilli(), string(state),
				d.CreatedAt.UnixMilli(), ended, d.WebhookID)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store %d deliveries: %w", len(all), err)
	}
	return nil
}

// DueWebhooks returns the enabled webhooks with due deliveries.
func (s *WebhookStore) DueWebhooks(ctx context.Context, now time.Time) ([]Webhook, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+webhookColumns+` FROM webhooks WHERE enabled = 1 AND EXISTS (
		SELECT 1 FROM webhook_deliveries d WHERE d.hook_id = webhooks.id AND d.state = 'pending' AND d.next_at <= $1)`, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read webhooks: %w", err)
	}
	defer rows.Close()
	var all []Webhook
	for rows.Next() {
		w, err := scanWebhook(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, rows.Err()
}

// ClaimDeliveries claims at most limit due deliveries of a webhook for the caller. They are due
// again at until, in case the caller dies. A delivery waits for earlier pending ones of the same
// build.
func (s *WebhookStore) ClaimDeliveries(ctx context.Context, hookID string, now, until time.Time, limit int) (all []Delivery, err error) {
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		if all, err = dueDeliveries(ctx, tx, hookID, now, limit); err != nil {
			return err
		}
		for i := range all {
			all[i].Attempts++
			_, err := tx.ExecContext(ctx, `UPDATE webhook_deliveries SET attempts = attempts + 1, next_at = $1 WHERE id = $2`, until.UnixMilli(), all[i].ID)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take deliveries of %s: %w", hookID, err)
	}
	return all, nil
}

func dueDeliveries(ctx context.Context, tx *database.Tx, hookID string, now time.Time, limit int) ([]Delivery, error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM webhook_deliveries d
		WHERE hook_id = $1 AND state = 'pending' AND next_at <= $2 AND NOT EXISTS (SELECT 1 FROM webhook_deliveries e
			WHERE e.hook_id = d.hook_id AND e.subject = d.subject AND e.place < d.place AND e.state = 'pending')
		ORDER BY place, id LIMIT $3`+tx.SkipLocked(), hookID, now.UnixMilli(), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Delivery
	for rows.Next() {
		d, err := scanDelivery(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// RecordAttempt records an attempt at a delivery, the state that follows and, if that is pending,
// when the next attempt is due. It returns since when the webhook has been failing; zero if the
// attempt succeeded, or if w has changed since it was read.
func (s *WebhookStore) RecordAttempt(
	ctx context.Context, w Webhook, d Delivery, a DeliveryAttempt, state DeliveryState, next time.Time,
) (failing time.Time, err error) {
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		ended := int64(0)
		if state != Pending {
			ended = a.At.UnixMilli()
		}
		_, err := tx.ExecContext(ctx, `UPDATE webhook_deliveries SET state = $1, next_at = $2, ended_at = $3
			WHERE id = $4 AND state = 'pending' AND attempts = $5`, state, next.UnixMilli(), ended, d.ID, d.Attempts)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO webhook_attempts (delivery_id, at, status, error, took_ms)
			SELECT id, CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS BIGINT) FROM webhook_deliveries WHERE id = $5`, a.At.UnixMilli(), a.Status, a.Error, a.Took.Milliseconds(), d.ID)
		if err != nil {
			return err
		}
		if state == Delivered {
			_, err := tx.ExecContext(ctx, `UPDATE webhooks SET failing_since = 0, succeeded_at = $1 WHERE id = $2`, a.At.UnixMilli(), w.ID)
			return err
		}
		var since int64
		err = tx.QueryRowContext(ctx, `UPDATE webhooks SET failing_since = CASE WHEN failing_since = 0 THEN $1 ELSE failing_since END
			WHERE id = $2 AND revision = $3 RETURNING failing_since`, a.At.UnixMilli(), w.ID, w.Revision).Scan(&since)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // changed or deleted meanwhile
		}
		failing = timeOrZero(since)
		return err
	})
	if err != nil {
		return failing, fmt.Errorf("record an attempt of delivery %s: %w", d.ID, err)
	}
	return failing, nil
}

// DeliveryFilter selects deliveries of a webhook. Empty fields do not restrict. Before is the
// cursor: the last id of the previous page.
type DeliveryFilter struct {
	State    DeliveryState
	From, To time.Time
	Before   string
}

func (f DeliveryFilter) where(hookID string) (string, []any) {
	where, args := []string{"hook_id = $1"}, []any{hookID}
	add := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }
	if f.State != "" {
		where = append(where, "state = "+add(string(f.State)))
	}
	if !f.From.IsZero() {
		where = append(where, "created_at >= "+add(f.From.UnixMilli()))
	}
	if !f.To.IsZero() {
		where = append(where, "created_at < "+add(f.To.UnixMilli()))
	}
	if f.Before != "" {
		mark := add(f.Before)
		where = append(where, `(created_at < (SELECT created_at FROM webhook_deliveries WHERE id = `+mark+`)
			OR created_at = (SELECT created_at FROM webhook_deliveries WHERE id = `+mark+`) AND id < `+mark+`)`)
	}
	return strings.Join(where, " AND "), args
}

// Deliveries returns deliveries of a webhook, newest first.
func (s *WebhookStore) Deliveries(ctx context.Context, hookID string, f DeliveryFilter, limit int) ([]Delivery, error) {
	where, args := f.where(hookID)
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+deliveryColumns+` FROM webhook_deliveries WHERE `+where+
		fmt.Sprintf(` ORDER BY created_at DESC, id DESC LIMIT $%d`, len(args)+1), append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("deliveries of %s: %w", hookID, err)
	}
	defer rows.Close()
	var all []Delivery
	for rows.Next() {
		d, err := scanDelivery(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// Delivery returns a delivery of a webhook with its attempts, oldest first. It returns
// ErrNoDelivery if there is none.
func (s *WebhookStore) Delivery(ctx context.Context, hookID, id string) (Delivery, []DeliveryAttempt, error) {
	d, err := scanDelivery(s.db.Read().QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM webhook_deliveries WHERE id = $1 AND hook_id = $2`, id, hookID))
	if err != nil {
		return d, nil, err
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT at, status, error, took_ms FROM webhook_attempts WHERE delivery_id = $1 ORDER BY at`, id)
	if err != nil {
		return d, nil, fmt.Errorf("attempts of delivery %s: %w", id, err)
	}
	defer rows.Close()
	var all []DeliveryAttempt
	for rows.Next() {
		var a DeliveryAttempt
		var at, took int64
		if err := rows.Scan(&at, &a.Status, &a.Error, &took); err != nil {
			return d, nil, fmt.Errorf("attempts of delivery %s: %w", id, err)
		}
		a.At, a.Took = timeOrZero(at), time.Duration(took)*time.Millisecond
		all = append(all, a)
	}
	return d, all, rows.Err()
}

// Replay makes matching delivered and dead deliveries due again with a fresh number of attempts,
// and returns how many. It skips pending and skipped ones.
func (s *WebhookStore) Replay(ctx context.Context, hookID string, f DeliveryFilter, id string, now time.Time) (n int64, err error) {
	where, args := f.where(hookID)
	if id != "" {
		args = append(args, id)
		where += fmt.Sprintf(" AND id = $%d", len(args))
	}
	args = append(args, now.UnixMilli())
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, fmt.Sprintf(`UPDATE webhook_deliveries SET attempts = 0, next_at = $%d, ended_at = 0, state = 'pending'
			WHERE state IN ('delivered', 'dead') AND %s`, len(args), where), args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("replay deliveries of %s: %w", hookID, err)
	}
	return n, nil
}

// SweepDeliveries deletes deliveries that were delivered or skipped before delivered, and those
// that died before dead.
func (s *WebhookStore) SweepDeliveries(ctx context.Context, delivered, dead time.Time) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM webhook_deliveries WHERE state IN ('delivered', 'skipped') AND ended_at < $1
			OR state = 'dead' AND ended_at < $2`, delivered.UnixMilli(), dead.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep deliveries: %w", err)
	}
	return nil
}
