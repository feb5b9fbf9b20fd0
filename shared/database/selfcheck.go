package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrDamaged is returned by QuickCheck. The text says what SQLite found.
var ErrDamaged = errors.New("the database file is damaged")

// quickCheckFaults bounds how many faults QuickCheck names.
const quickCheckFaults = 3

// QuickCheck reads the whole file of a SQLite database and returns ErrDamaged if its structure is not
// sound. On PostgreSQL, which checks its pages itself, it does nothing. It takes as long as reading the
// file does; ctx ends it.
func (db *DB) QuickCheck(ctx context.Context) error {
	if db.dialect != SQLite {
		return nil
	}
	rows, err := db.read.QueryContext(ctx, fmt.Sprintf("PRAGMA quick_check(%d)", quickCheckFaults))
	if err != nil {
		return damaged(err)
	}
	defer rows.Close()
	var faults []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return damaged(err)
		}
		if text != "ok" {
			faults = append(faults, text)
		}
	}
	if err := rows.Err(); err != nil {
		return damaged(err)
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(faults, "; "))
	}
	return nil
}

// damaged tells a file that cannot be read as a database from a check that did not come to its end.
func damaged(err error) error {
	if code := codeSQLite(err); code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("check the database: %w", err)
}

// CheckWrite commits a transaction that changes nothing, and returns why that is impossible. A SQLite
// file on a disk that is full or read-only is still read without an error.
func (db *DB) CheckWrite(ctx context.Context) error {
	err := db.WithTx(ctx, func(tx *Tx) error {
		if db.dialect != SQLite {
			_, err := tx.ExecContext(ctx, "SELECT 1")
			return err
		}
		var version int64
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)) // it takes no parameters
		return err
	})
	if err != nil {
		return fmt.Errorf("%s's database cannot be written: %w", db.service, err)
	}
	return nil
}

// cannotWrite is the error of a SQLite file that cannot be written now: its disk is full, read-only or
// fails. Package outage recognises it.
type cannotWrite struct {
	error

	full bool
}

func (e cannotWrite) Unwrap() error     { return e.error }
func (e cannotWrite) Unavailable() bool { return true }
func (e cannotWrite) DiskFull() bool    { return e.full }

func explainWrite(err error) error {
	switch code := codeSQLite(err); code {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return cannotWrite{err, code == sqlite3.SQLITE_FULL}
	}
	return err
}

// codeSQLite returns SQLite's primary result code, and 0 for other errors.
func codeSQLite(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}
