package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// Migrate brings the service's tables to the newest of the migrations in files (goose's format): those in the directory of
// the dialect's name if there is one, else those at the top. Processes that do so at once wait for one another.
//
// A migration whose number is lower than that of one which ran already runs as well: branches that were merged in another order
// than they were numbered must not lock a data directory out for good. New ones must still be numbered last; a test of the
// standalone checks that.
func (db *DB) Migrate(ctx context.Context, files fs.FS) error {
	if sub, err := fs.Stat(files, string(db.dialect)); err == nil && sub.IsDir() {
		if files, err = fs.Sub(files, string(db.dialect)); err != nil {
			return fmt.Errorf("open migrations: %w", err)
		}
	}
	dialect, opts := goose.DialectSQLite3, []goose.ProviderOption{
		goose.WithLogger(goose.NopLogger()), goose.WithAllowOutofOrder(true),
	}
	if db.dialect == PostgreSQL {
		dialect = goose.DialectPostgres
		opts = append(opts, goose.WithSessionLocker(migrationLock{lockKey("migrate " + db.service)}))
	}
	p, err := goose.NewProvider(dialect, db.write, files, opts...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrationLock keeps processes that start at once from migrating at once. goose's own asks every five seconds at best, too
// slow for a start. It asks rather than waits in the server, because a waiting statement would hold up a migration that
// makes an index concurrently.
type migrationLock struct{ key int64 }

var _ lock.SessionLocker = migrationLock{}

const migrationPoll = 50 * time.Millisecond

// SessionLock implements lock.SessionLocker.
func (l migrationLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	for {
		var got bool
		if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", l.key).Scan(&got); err != nil {
			return fmt.Errorf("lock the migrations: %w", errors.Join(err, discard(conn)))
		}
		if got {
			return nil
		}
		if err := backoff.Sleep(ctx, migrationPoll/2+rand.N(migrationPoll)); err != nil {
			return fmt.Errorf("wait for another process's migration: %w", context.Cause(ctx))
		}
	}
}

// SessionUnlock implements lock.SessionLocker.
func (l migrationLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", l.key); err != nil {
		return fmt.Errorf("unlock the migrations: %w", errors.Join(err, discard(conn)))
	}
	return nil
}

// discard keeps a connection that may still have the lock from going back to the pool.
func discard(conn *sql.Conn) error {
	err := conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}
