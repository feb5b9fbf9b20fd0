package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Pin keeps a build whatever the policies say.
type Pin struct {
	At   time.Time
	Note string
}

// Pin pins a build, or changes the note of its pin; build.ErrNotFound if there is no such build.
func (s *Store) Pin(ctx context.Context, id string, p Pin) error {
	return s.tx(ctx, "pin build "+id, func(tx *database.Tx) error {
		if err := lockBuild(ctx, tx, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO build_pins (build_id, pinned_at, note) VALUES ($1, $2, $3)
			ON CONFLICT (build_id) DO UPDATE SET note = excluded.note`, id, store.Millis(p.At), p.Note)
		return err
	})
}

// lockBuild keeps a running sweep from removing the build until tx ends; build.ErrNotFound if there is no such build.
func lockBuild(ctx context.Context, tx *database.Tx, id string) error {
	var one int
	err := tx.QueryRowContext(ctx, `SELECT 1 FROM builds WHERE id = $1`+tx.ForUpdate(), id).Scan(&one)
	if missing(err) {
		return build.ErrNotFound
	}
	return err
}

// Unpin ends a pin; a build without one is no error. It returns build.ErrNotFound if there is no such build.
func (s *Store) Unpin(ctx context.Context, id string) error {
	return s.tx(ctx, "unpin build "+id, func(tx *database.Tx) error {
		if err := lockBuild(ctx, tx, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM build_pins WHERE build_id = $1`, id)
		return err
	})
}

// Pinned returns the pin of a build; ok is false without one.
func (s *Store) Pinned(ctx context.Context, id string) (p Pin, ok bool, err error) {
	var at int64
	err = s.db.Read().QueryRowContext(ctx, `SELECT pinned_at, note FROM build_pins WHERE build_id = $1`, id).Scan(&at, &p.Note)
	if missing(err) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("pin of build %s: %w", id, err)
	}
	p.At = store.FromMillis(at)
	return p, true, nil
}
