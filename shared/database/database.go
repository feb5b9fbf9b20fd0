package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
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
	// Service owns the tables: on PostgreSQL its schema. Lower-case letters and underscores, at most 40.
	Service string
	// MaxConns bounds the pool of connections to PostgreSQL, 1 to 50; 0 means 10. A running Relay has one more, outside of
	// the pool. SQLite has one writer and eight readers.
	MaxConns int
}

// DB is an open database. It is safe for concurrent use; close it after everything that uses it has stopped.
type DB struct {
	dialect Dialect
	service string
	write   *sql.DB
	read    *sql.DB
	session *pgx.ConnConfig // for connections outside of the pool; nil on SQLite
	rebound sync.Map        // query text -> rewritten; as many as the program has texts
	readers statements
	commits *committer // nil on PostgreSQL

	emits emits
}

// openTimeout bounds how long an Open waits for the database.
const openTimeout = 10 * time.Second

// Validate says what is wrong without connecting; the error matches ErrConfig and never holds the password.
func (c Config) Validate() error {
	_, err := c.parse()
	return err
}

// parse returns the scheme's way to open.
func (c Config) parse() (open func(context.Context) (*DB, error), err error) {
	if !validService(c.Service) {
		return nil, fmt.Errorf("%w: service must be 1 to 40 lower-case letters and _ (got %q)", ErrConfig, c.Service)
	}
	if c.MaxConns < 0 || c.MaxConns > maxConns {
		return nil, fmt.Errorf("%w: connections must be 1 to %d (got %d)", ErrConfig, maxConns, c.MaxConns)
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL cannot be read", ErrConfig) // the parser's error would quote the password
	}
	switch u.Scheme {
	case "sqlite":
		if !filepath.IsAbs(u.Path) {
			return nil, fmt.Errorf("%w: the path %q is not absolute (sqlite:///path/file.db)", ErrConfig, u.Path)
		}
		return func(ctx context.Context) (*DB, error) { return openSQLite(ctx, u.Path) }, nil
	case "postgres", "postgresql":
		pc, err := parsePostgres(c)
		return func(ctx context.Context) (*DB, error) { return openPostgres(ctx, c, pc) }, err
	default:
		return nil, fmt.Errorf("%w: scheme must be sqlite or postgres, as in sqlite:///path/file.db (got %q)", ErrConfig, u.Scheme)
	}
}

// Open connects, and makes the schema and its outbox if they are not there. Any number of processes may do so at once.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	open, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	db, err := open(ctx)
	if err != nil {
		return nil, err
	}
	db.service = cfg.Service
	db.emits.init()
	return db, nil
}

func validService(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// Dialect tells which database it is.
func (db *DB) Dialect() Dialect { return db.dialect }

// Close closes every connection.
func (db *DB) Close() error {
	db.readers.close()
	if db.commits != nil {
		db.commits.close()
	}
	if db.read == db.write {
		return db.write.Close()
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

// rebindSQLite replaces $ before a digit by ?, outside of literals, quoted identifiers and comments.
func rebindSQLite(q string) string {
	out := []byte(q)
	for i := 0; i < len(q); {
		if n := opaque(q[i:]); n > 0 {
			i += n
			continue
		}
		if q[i] == '$' && i+1 < len(q) && q[i+1] >= '0' && q[i+1] <= '9' {
			out[i] = '?'
		}
		i++
	}
	return string(out)
}

// opaque returns the length of the literal, quoted identifier or comment that s begins with, else 0. A doubled quote within
// quotes reads as the end of one and the beginning of the next, which comes to the same.
func opaque(s string) int {
	through := func(end string, from int) int {
		if i := strings.Index(s[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(s)
	}
	switch {
	case s[0] == '\'' || s[0] == '"' || s[0] == '`':
		return through(s[:1], 1)
	case strings.HasPrefix(s, "--"):
		return through("\n", 2)
	case strings.HasPrefix(s, "/*"):
		return through("*/", 2)
	}
	return 0
}

// Querier reads outside of a transaction.
type Querier struct {
	db *DB
}

// Read returns the read side. On SQLite it sees what was committed before each query.
func (db *DB) Read() Querier { return Querier{db} }

// QueryContext is database/sql's, with $N placeholders.
func (q Querier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query = q.db.Rebind(query)
	if stmt := q.db.prepared(ctx, query); stmt != nil { //nolint:sqlclosecheck // it stays prepared until Close
		return stmt.QueryContext(ctx, args...)
	}
	return q.db.read.QueryContext(ctx, query, args...)
}

// QueryRowContext is database/sql's, with $N placeholders. On SQLite one that has begun is not interrupted: watching ctx takes
// two goroutines, which is much of what a read of one row costs there.
func (q Querier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	query = q.db.Rebind(query)
	if q.db.dialect == SQLite && ctx.Err() == nil {
		ctx = context.WithoutCancel(ctx)
	}
	if stmt := q.db.prepared(ctx, query); stmt != nil { //nolint:sqlclosecheck // it stays prepared until Close
		return stmt.QueryRowContext(ctx, args...)
	}
	return q.db.read.QueryRowContext(ctx, query, args...)
}
