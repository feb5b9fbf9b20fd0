package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/expo-free-agent/freeagent/shared/database"
)

//go:embed migrations
var migrations embed.FS

// Store reads and writes the gateway's tables. It is safe for concurrent use.
type Store struct {
	db *database.DB
}

// New migrates the gateway's schema in db and gives its store.
func New(ctx context.Context, db *database.DB) (*Store, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	if err := db.Migrate(ctx, sub); err != nil {
		return nil, fmt.Errorf("migrate the gateway's schema: %w", err)
	}
	return &Store{db: db}, nil
}
