package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Tx is a write transaction. It is not safe for concurrent use.
type Tx struct {
	db      *DB
	tx      *sql.Tx
	emitted int64
}

// txTries is how often a transaction runs that the database refuses for its timing.
const txTries = 6

// WithTx runs f in a write transaction: committed if f returns nil, else rolled back. After a serialization failure, a
// deadlock or a busy file it runs again, so f must change nothing outside of the database. Messages emitted by f are on
// their way once it returns nil.
func (db *DB) WithTx(ctx context.Context, f func(*Tx) error) error {
	var err error
	for try := range txTries {
		if try > 0 {
			if err := pause(ctx, try); err != nil {
				return err
			}
		}
		if err = db.once(ctx, f); err == nil || !conflictPostgres(err) && !busySQLite(err) {
			return err
		}
	}
	return fmt.Errorf("after %d tries: %w", txTries, err)
}

func pause(ctx context.Context, try int) error {
	d := time.Duration(1<<try) * time.Millisecond
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d/2 + rand.N(d)):
		return nil
	}
}

func (db *DB) once(ctx context.Context, f func(*Tx) error) (err error) {
	raw, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	tx := &Tx{db: db, tx: raw}
	committed := false
	defer func() {
		if !committed { // also when f panics
			if e := raw.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) {
				err = errors.Join(err, fmt.Errorf("roll back: %w", e))
			}
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	if err := raw.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	if tx.emitted > 0 {
		db.emits.committed(tx.emitted)
	}
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
