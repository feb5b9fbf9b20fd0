package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// executor runs the statements of a transaction.
type executor interface {
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
}

var (
	_ executor = (*sql.Tx)(nil)
	_ executor = (*committer)(nil)
)

// Tx is a write transaction. It is not safe for concurrent use.
type Tx struct {
	db      *DB
	tx      executor
	emitted int64
}

// txTries is how often a transaction runs that the database refuses for its timing.
const txTries = 6

// WithTx runs f in a write transaction: committed, and on disk, if it returns nil, else rolled back. After a serialization
// failure, a deadlock or a busy file it runs again, so f must change nothing outside of the database. Messages emitted by f
// are on their way once it returns nil. On SQLite transactions that run at once are committed together; f sees what those
// before it did, and must not wait for anything but the database.
func (db *DB) WithTx(ctx context.Context, f func(*Tx) error) error {
	var err error
	retries := backoff.Retries{First: 2 * time.Millisecond, Most: time.Second}
	for try := range txTries {
		if try > 0 {
			if err := retries.Sleep(ctx); err != nil {
				return err
			}
		}
		tx := &Tx{db: db}
		if db.commits != nil {
			tx.tx = db.commits
			err = db.commits.do(ctx, func() error { return f(tx) })
		} else {
			err = tx.alone(ctx, f)
		}
		if err == nil && tx.emitted > 0 {
			db.emits.committed(tx.emitted)
		}
		if err == nil || !IsTransient(err) {
			return explainWrite(err)
		}
	}
	return explainWrite(fmt.Errorf("after %d tries: %w", txTries, err))
}

// IsTransient reports whether err is that of a transaction that lost against others at each try. A later try may succeed.
func IsTransient(err error) bool {
	return conflictPostgres(err) || busySQLite(err) || errors.Is(err, errUndone)
}

// alone is a transaction with a commit of its own; the server's own group commit joins the syncs.
func (t *Tx) alone(ctx context.Context, f func(*Tx) error) (err error) {
	raw, err := t.db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	t.tx = raw
	committed := false
	defer func() {
		if !committed { // also when f panics
			if e := raw.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) {
				err = errors.Join(err, fmt.Errorf("roll back: %w", e))
			}
		}
	}()
	if err := f(t); err != nil {
		return err
	}
	if err := raw.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}

// ExecContext is database/sql's, with $N placeholders.
func (t *Tx) ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, t.db.Rebind(q), args...)
}

// QueryContext is database/sql's, with $N placeholders. Read the rows to their end before the next call.
func (t *Tx) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, t.db.Rebind(q), args...)
}

// QueryRowContext is database/sql's, with $N placeholders.
func (t *Tx) QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, t.db.Rebind(q), args...)
}

// ForUpdate is the end of a SELECT that locks its rows; nothing on SQLite, where a transaction is alone anyway.
func (t *Tx) ForUpdate() string {
	if t.db.dialect == PostgreSQL {
		return " FOR UPDATE"
	}
	return ""
}

// SkipLocked is the end of a SELECT that locks its rows and leaves out those that another transaction has locked; nothing on
// SQLite.
func (t *Tx) SkipLocked() string {
	if t.db.dialect == PostgreSQL {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}
