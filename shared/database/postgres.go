package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	defaultConns = 10
	maxConns     = 50
)

// parsePostgres makes a configuration whose connections see only the service's schema.
func parsePostgres(cfg Config) (*pgx.ConnConfig, error) {
	pc, err := pgx.ParseConfig(cfg.URL)
	var file *fs.PathError
	if errors.As(err, &file) {
		return nil, fmt.Errorf("%w: the PostgreSQL URL names a file that cannot be read: %w", ErrConfig, file)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the PostgreSQL URL cannot be read", ErrConfig) // pgx's error may quote it
	}
	if pc.ConnectTimeout == 0 {
		pc.ConnectTimeout = 5 * time.Second
	}
	pc.DialFunc = dialer().DialContext
	pc.RuntimeParams["search_path"] = pgx.Identifier{cfg.Service}.Sanitize()
	pc.RuntimeParams["application_name"] = "freeagent-" + cfg.Service
	// A client whose machine vanished keeps its row locks, and the relay's, until the server notices: by default after hours.
	for k, v := range map[string]string{"idle": "15", "interval": "5", "count": "3"} {
		pc.RuntimeParams["tcp_keepalives_"+k] = v
	}
	return pc, nil
}

// openPostgres opens a pool of such connections.
func openPostgres(ctx context.Context, cfg Config, pc *pgx.ConnConfig) (*DB, error) {
	pool := stdlib.OpenDB(*pc)
	conns := cfg.MaxConns
	if conns == 0 {
		conns = defaultConns
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := prepareSchema(ctx, pool, cfg.Service); err != nil {
		return nil, errors.Join(explainPostgres(pc, err), pool.Close())
	}
	return &DB{dialect: PostgreSQL, write: pool, read: pool, session: pc}, nil
}

// explainPostgres says in one line where it was and whether it was the connecting that went wrong.
func explainPostgres(pc *pgx.ConnConfig, err error) error {
	place := fmt.Sprintf("PostgreSQL at %s:%d, database %s", pc.Host, pc.Port, pc.Database)
	var c *pgconn.ConnectError
	if !errors.As(err, &c) {
		return fmt.Errorf("%s: %w", place, err)
	}
	return &connectError{text: "cannot connect to " + place + ": " + strings.Join(strings.Fields(c.Unwrap().Error()), " "), cause: err}
}

// connectError has a text of its own because the driver's is a list of every attempt, a line each.
type connectError struct {
	text  string
	cause error
}

func (e *connectError) Error() string { return e.text }
func (e *connectError) Unwrap() error { return e.cause }

// prepareSchema makes schema and outbox under a lock: CREATE … IF NOT EXISTS alone fails when two do it at once.
func prepareSchema(ctx context.Context, pool *sql.DB, schema string) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", lockKey("schema "+schema)); err != nil {
		return err
	}
	// Looked for first: the right to create a schema is asked for even when there is one, and an administrator who made it
	// beforehand need not give that right.
	quoted := pgx.Identifier{schema}.Sanitize()
	var schemaThere, outboxThere bool
	err = tx.QueryRowContext(ctx, "SELECT to_regnamespace($1) IS NOT NULL, to_regclass($2) IS NOT NULL",
		quoted, quoted+".outbox").Scan(&schemaThere, &outboxThere)
	if err == nil && !schemaThere {
		_, err = tx.ExecContext(ctx, "CREATE SCHEMA "+quoted)
	}
	if err == nil && !outboxThere {
		_, err = tx.ExecContext(ctx, outboxPostgres)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// lockKey makes an advisory lock's number out of what it guards.
func lockKey(what string) int64 {
	h := fnv.New64a()
	h.Write([]byte("freeagent " + what))
	return int64(h.Sum64()) // any 64 bits will do
}

// conflictPostgres: the transaction may succeed when it runs again (serialization failure, deadlock).
func conflictPostgres(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}
