package database

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrate brings the service's tables to the newest of the migrations in files (goose's format): those in the directory of
// the dialect's name if there is one, else those at the top. Processes that do so at once wait for one another.
func (db *DB) Migrate(ctx context.Context, files fs.FS) error {
	if sub, err := fs.Stat(files, string(db.dialect)); err == nil && sub.IsDir() {
		if files, err = fs.Sub(files, string(db.dialect)); err != nil {
			return fmt.Errorf("open migrations: %w", err)
		}
	}
	dialect, opts := goose.DialectSQLite3, []goose.ProviderOption{goose.WithLogger(goose.NopLogger())}
	if db.dialect == PostgreSQL {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockKey("migrate " + db.service)))
		if err != nil {
			return fmt.Errorf("lock for migrations: %w", err)
		}
		dialect, opts = goose.DialectPostgres, append(opts, goose.WithSessionLocker(locker))
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
