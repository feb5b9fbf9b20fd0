package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	defaultConns = 10
	maxConns     = 50
)

// openPostgres opens a pool whose connections see only the service's schema.
func openPostgres(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.MaxConns < 0 || cfg.MaxConns > maxConns {
		return nil, fmt.Errorf("%w: %d connections, want 1 to %d", ErrConfig, cfg.MaxConns, maxConns)
	}
	pc, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: the PostgreSQL URL cannot be read", ErrConfig) // pgx's error may quote it
	}
	if pc.ConnectTimeout == 0 {
		pc.ConnectTimeout = 5 * time.Second
	}
	pc.RuntimeParams["search_path"] = cfg.Service
	pc.RuntimeParams["application_name"] = "freeagent-" + cfg.Service
	pool := stdlib.OpenDB(*pc)
	conns := cfg.MaxConns
	if conns == 0 {
		conns = defaultConns
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := prepareSchema(ctx, pool, cfg.Service); err != nil {
		return nil, errors.Join(fmt.Errorf("PostgreSQL at %s:%d, database %s: %w", pc.Host, pc.Port, pc.Database, err), pool.Close())
	}
	return &DB{dialect: PostgreSQL, write: pool, read: pool}, nil
}

// prepareSchema makes schema and outbox under a lock: CREATE … IF NOT EXISTS alone fails when two do it at once.
func prepareSchema(ctx context.Context, pool *sql.DB, schema string) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	for _, q := range []string{
		fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", lockKey("schema "+schema)),
		"CREATE SCHEMA IF NOT EXISTS " + schema,
		outboxPostgres,
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err //nolint:wrapcheck // wrapped by the caller
		}
	}
	return tx.Commit() //nolint:wrapcheck // wrapped by the caller
}

// lockKey makes an advisory lock's number out of what it guards.
func lockKey(what string) int64 {
	h := fnv.New64a()
	h.Write([]byte("freeagent " + what))
	return int64(h.Sum64()) //nolint:gosec // any 64 bits will do
}

// conflictPostgres: the transaction may succeed when it runs again (serialization failure, deadlock).
func conflictPostgres(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}
