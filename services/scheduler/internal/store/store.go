package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/outbox"
)

//go:embed migrations
var migrations embed.FS

// Store reads the scheduler's tables; changes go through Tx. It is safe for concurrent use.
type Store struct {
	db *database.DB
	// Fleet reads workers.
	Fleet Fleet
}

// New migrates the scheduler's schema in db and gives its store.
func New(ctx context.Context, db *database.DB) (*Store, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	if err := db.Migrate(ctx, sub); err != nil {
		return nil, fmt.Errorf("migrate the scheduler's schema: %w", err)
	}
	return &Store{db: db, Fleet: Fleet{db}}, nil
}

// Tx is one transaction: state and events together or not at all.
type Tx struct {
	tx *database.Tx
}

// Update runs f in a write transaction. f may run again after a serialization failure, so it changes nothing outside.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	return s.db.WithTx(ctx, func(tx *database.Tx) error { return f(&Tx{tx: tx}) })
}

// Emit publishes after the commit, and only then.
func (t *Tx) Emit(ctx context.Context, msgs ...bus.Message) error {
	return outbox.Emit(ctx, t.tx, msgs...)
}
