package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/outbox"
)

//go:embed migrations
var migrations embed.FS

// Store is the monitor's database. It is safe for concurrent use, also by several processes.
type Store struct {
	base
	Leases   *Leases
	Workers  *Workers
	Silences *Silences
	Samples  *Samples
	Reports  *Reports
	Stats    *Stats
}

// New migrates the monitor's schema in db and returns its store.
func New(ctx context.Context, db *database.DB) (*Store, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	if err := db.Migrate(ctx, sub); err != nil {
		return nil, fmt.Errorf("migrate the monitor's schema: %w", err)
	}
	b := base{db}
	return &Store{
		base: b, Leases: &Leases{b}, Workers: &Workers{b}, Silences: &Silences{b}, Samples: &Samples{b}, Reports: &Reports{b}, Stats: &Stats{b},
	}, nil
}

// Ping returns an error if the database does not answer.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.db.Read().QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("ask the database: %w", err)
	}
	return nil
}

type base struct{ db *database.DB }

// errGone ends the transaction of a verdict that does not hold any more: another monitor was first, or the worker is alive.
var errGone = errors.New("no longer due")

func (b base) decide(ctx context.Context, event bus.Message, q string, args ...any) (bool, error) {
	err := b.db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, q, args...)
		if err != nil {
			return fmt.Errorf("record the verdict: %w", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return fmt.Errorf("record the verdict: %w", err)
		}
		if n == 0 {
			return errGone
		}
		return outbox.Emit(ctx, tx, event)
	})
	if errors.Is(err, errGone) {
		return false, nil
	}
	return err == nil, err
}

func (b base) exec(ctx context.Context, doing, q string, args ...any) error {
	err := b.db.WithTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, q, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
