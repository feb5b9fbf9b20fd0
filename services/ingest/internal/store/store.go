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
	*AccessStore
	*SubmitStore
	*WebhookStore

	db *database.DB
}

// AccessStore has keys, sessions, workers' credentials and tokens.
type AccessStore struct{ db *database.DB }

// SubmitStore has idempotency keys, submits in flight and unanswered submits.
type SubmitStore struct{ db *database.DB }

// WebhookStore has the webhooks and their deliveries.
type WebhookStore struct{ db *database.DB }

// New migrates the gateway's schema in db and returns its store.
func New(ctx context.Context, db *database.DB) (*Store, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	if err := db.Migrate(ctx, sub); err != nil {
		return nil, fmt.Errorf("migrate the gateway's schema: %w", err)
	}
	return &Store{AccessStore: &AccessStore{db}, SubmitStore: &SubmitStore{db}, WebhookStore: &WebhookStore{db}, db: db}, nil
}
