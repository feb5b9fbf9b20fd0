package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Dialect is the kind of database behind a DB.
type Dialect string

// The dialects.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgres"
)

// Config names a database.
type Config struct {
	// URL is sqlite:///absolute/path/file.db or postgres://user:password@host/database.
	URL string
	// Service owns the tables: on PostgreSQL its schema. Lower-case letters and underscores.
	Service string
	// MaxConns bounds the connections to PostgreSQL, 1 to 50; 0 means 10. SQLite has one writer and eight readers.
	MaxConns int
}

// ErrConfig: the URL or another field cannot be used; the text says why and never holds the password.
var ErrConfig = errors.New("database configuration")

// DB is an open database. It is safe for concurrent use; close it after everything that uses it has stopped.
type DB struct {
	dialect Dialect
	service string
	write   *sql.DB
	read    *sql.DB
	rebound sync.Map // query text -> rewritten

	emits emits
}

// openTimeout bounds how long an Open waits for the database.
const openTimeout = 10 * time.Second

// Open connects, and makes the schema and its outbox if they are not there. Any number of processes may do so at once.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if !validService(cfg.Service) {
		return nil, fmt.Errorf("%w: service %q: lower-case letters and _ only", ErrConfig, cfg.Service)
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL cannot be read", ErrConfig) // the parser's error would quote the password
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var db *DB
	switch u.Scheme {
	case "sqlite":
		db, err = openSQLite(ctx, u.Path)
	case "postgres", "postgresql":
		db, err = openPostgres(ctx, cfg)
	default:
		return nil, fmt.Errorf("%w: scheme %q: want sqlite:///path/file.db or postgres://…", ErrConfig, u.Scheme)
	}
	if err != nil {
		return nil, err
	}
	db.service = cfg.Service
	db.emits.init()
	return db, nil
}

func validService(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// Dialect tells which database it is.
func (db *DB) Dialect() Dialect { return db.dialect }

// Close closes every connection.
func (db *DB) Close() error {
	if db.read == db.write {
		return db.write.Close() //nolint:wrapcheck // nothing to add
	}
	return errors.Join(db.read.Close(), db.write.Close())
}

// Rebind rewrites $N to what the dialect's driver numbers rightly.
func (db *DB) Rebind(q string) string {
	if db.dialect == PostgreSQL {
		return q
	}
	if r, ok := db.rebound.Load(q); ok {
		return r.(string) //nolint:forcetypeassert // only strings are stored
	}
	r := rebindSQLite(q)
	db.rebound.Store(q, r)
	return r
}

// rebindSQLite replaces $ before a digit by ?, outside of quotes.
func rebindSQLite(q string) string {
	out := []byte(q)
	var quote byte
	for i := range out {
		switch c := out[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '$' && i+1 < len(out) && out[i+1] >= '0' && out[i+1] <= '9':
			out[i] = '?'
		}
	}
	return string(out)
}

// Querier reads outside of a transaction.
type Querier struct {
	db *DB
}

// Read gives the read side. On SQLite it sees what was committed before each query.
func (db *DB) Read() Querier { return Querier{db} }

// QueryContext is database/sql's, with $N placeholders.
func (q Querier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return q.db.read.QueryContext(ctx, q.db.Rebind(query), args...) //nolint:wrapcheck // the caller says what it asked
}

// QueryRowContext is database/sql's, with $N placeholders.
func (q Querier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return q.db.read.QueryRowContext(ctx, q.db.Rebind(query), args...)
}
