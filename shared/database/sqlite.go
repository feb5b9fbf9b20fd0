package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const sqliteReaders = 8

// openSQLite opens one writer and a pool of readers. WAL lets them read while it writes; synchronous FULL makes a commit
// survive a power cut; immediate transactions take the write lock at once, so that no reader turns writer and deadlocks.
func openSQLite(ctx context.Context, path string) (*DB, error) {
	dsn := func(more ...string) string {
		v := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{
			"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		}, more...)}
		return (&url.URL{Scheme: "file", Path: path, RawQuery: v.Encode()}).String()
	}
	write, err := sql.Open("sqlite", dsn())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	write.SetMaxOpenConns(2) // the committer's, which it keeps, and one for migrations
	read, err := sql.Open("sqlite", dsn("query_only(1)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(sqliteReaders)
	read.SetMaxIdleConns(sqliteReaders)
	if _, err := write.ExecContext(ctx, outboxSQLite); err != nil {
		return nil, errors.Join(explainSQLite(path, err), read.Close(), write.Close())
	}
	return &DB{dialect: SQLite, write: write, read: read, commits: newCommitter(write)}, nil
}

// explainSQLite names the cause and the cure of the faults that people meet.
func explainSQLite(path string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("open %s: %w", path, err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return fmt.Errorf("open %s: the file cannot be written; check that its directory exists and is writable: %w", path, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("open %s: the disk is full: %w", path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("open %s: another process is using the file: %w", path, err)
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("open %s: the file is not a usable SQLite database: %w", path, err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// noTransaction: there is nothing to roll back, SQLite has done so.
func noTransaction(err error) bool {
	return strings.Contains(err.Error(), "no transaction is active")
}

func busySQLite(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
}
