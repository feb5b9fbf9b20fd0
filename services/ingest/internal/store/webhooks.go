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

// Errors for ids that do not exist.
var (
	ErrNoWebhook  = errors.New("no such webhook")
	ErrNoDelivery = errors.New("no such delivery")
)

// Webhook is a webhook. Secret and Token are encrypted; only format github has a token.
type Webhook struct {
	ID, URL, Format      string
	Events               []string
	Project, Description string
	Secret, Token        string
	Enabled              bool
	DisabledReason       string
	// Revision counts the changes of the settings.
	Revision int64

	CreatedAt, FailingSince, SucceededAt time.Time
}

const webhookColumns = `id, url, format, events, project, description, secret, token, enabled, disabled_reason, created_at, failing_since, succeeded_at, revision`

type row interface{ Scan(dest ...any) error }

func scanWebhook(r row) (Webhook, error) {
	var w Webhook
	var events string
	var enabled, created, failing, succeeded int64
	err := r.Scan(&w.ID, &w.URL, &w.Format, &events, &w.Project, &w.Description, &w.Secret, &w.Token, &enabled, &w.DisabledReason, &created, &failing, &succeeded, &w.Revision)
	if errors.Is(err, sql.ErrNoRows) {
		return w, ErrNoWebhook
	}
	if err != nil {
		return w, fmt.Errorf("read a webhook: %w", err)
	}
	if events != "" {
		w.Events = strings.Split(events, ",")
	}
	w.Enabled, w.CreatedAt, w.FailingSince, w.SucceededAt = enabled != 0, timeOrZero(created), timeOrZero(failing), timeOrZero(succeeded)
	return w, nil
}

// timeOrZero converts milliseconds to a time. 0 is the zero time.
func timeOrZero(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func boolToInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// PutWebhook stores a webhook, or replaces its settings and increments its revision. Enabling a
// disabled webhook clears failing_since.
func (s *WebhookStore) PutWebhook(ctx context.Context, w Webhook) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO webhooks (id, url, format, events, project, description, secret, token, enabled, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (id) DO UPDATE SET url = excluded.url, format = excluded.format, events = excluded.events, project = excluded.project,
				description = excluded.description, secret = excluded.secret, token = excluded.token, enabled = excluded.enabled,
				revision = webhooks.revision + 1,
				disabled_reason = CASE WHEN excluded.enabled = 1 THEN '' ELSE webhooks.disabled_reason END,
				failing_since = CASE WHEN excluded.enabled = 1 AND webhooks.enabled = 0 THEN 0 ELSE webhooks.failing_since END`,
			w.ID, w.URL, w.Format, strings.Join(w.Events, ","), w.Project, w.Description, w.Secret, w.Token, boolToInt(w.Enabled), w.CreatedAt.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("store webhook %s: %w", w.ID, err)
	}
	return nil
}

// Webhook returns a webhook. It returns ErrNoWebhook if there is none.
func (s *WebhookStore) Webhook(ctx context.Context, id string) (Webhook, error) {
	return scanWebhook(s.db.Read().QueryRowContext(ctx, `SELECT `+webhookColumns+` FROM webhooks WHERE id = $1`, id))
}

// Webhooks returns all webhooks, oldest first.
func (s *WebhookStore) Webhooks(ctx context.Context) ([]Webhook, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+webhookColumns+` FROM webhooks ORDER BY created_at, id`)
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

// DeleteWebhook deletes a webhook and its deliveries. It returns ErrNoWebhook if there is none.
func (s *WebhookStore) DeleteWebhook(ctx context.Context, id string) error {
	var n int64
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM webhooks WHERE id = $1`, id)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("delete webhook %s: %w", id, err)
	case n == 0:
		return ErrNoWebhook
	}
	return nil
}

// DisableWebhook disables the webhook and stores the reason, unless its settings have changed since
// w was read. It reports whether it has disabled it.
func (s *WebhookStore) DisableWebhook(ctx context.Context, w Webhook, reason string) (disabled bool, err error) {
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE webhooks SET enabled = 0, disabled_reason = $1
			WHERE id = $2 AND enabled = 1 AND revision = $3`, reason, w.ID, w.Revision)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		disabled = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("disable webhook %s: %w", w.ID, err)
	}
	return disabled, nil
}
