package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

//go:embed migrations
var migrations embed.FS

var (
	// ErrNotFound means that no row has the id, or its state does not allow the call.
	ErrNotFound = errors.New("no such object row")
	// ErrMoved means that an upload in pieces is at another offset than the caller's.
	ErrMoved = errors.New("the upload went on meanwhile")
	// ErrNotStaged means that a row does not wait for bytes: it has them already, or is condemned.
	ErrNotStaged = errors.New("object row waits for no bytes")
)

// State is where a row is in its life.
type State string

// The states, see the package's diagram.
const (
	Staged    State = "staged"    // waits for bytes
	Stored    State = "stored"    // has bytes, expires
	Kept      State = "kept"      // permanent
	Condemned State = "condemned" // its bytes are being deleted
)

// Object is one row.
type Object struct {
	ID      string
	BuildID string
	Attempt int32 // 0 for what the submitter sent
	Kind    int32 // artifactv1.Kind
	Project string
	Name    string // shown to people
	// Prefix begins the S3 keys of all attempts to upload this object; empty: there can be none, it was Put. Key is the one
	// that won; empty with bytes: they are in the table (Bytes).
	Prefix string
	Key    string
	State  State
	Content
	Pieces    Pieces
	CreatedAt time.Time
	StoredAt  time.Time // zero until stored
	ExpiresAt time.Time // zero when kept
}

// Content is what an upload turned out to be.
type Content struct {
	Size        int64
	SHA256      string // of the plain bytes, lower-case hex
	ContentType string
	WrappedKey  []byte // nil: not encrypted
	// Small are the bytes as they are to lie in the table, of what gets no key. Only writes carry them.
	Small []byte
}

// Pieces is where an upload in pieces stands; its key is the row's Key from the first piece on.
type Pieces struct {
	UploadID string // the object store's; empty until the first piece
	Names    []string
	Received int64 // bytes
	// HashState is the SHA-256's after Received bytes, as it marshals itself.
	HashState []byte
}

// HasBytes reports whether the object can be read.
func (o Object) HasBytes() bool { return o.State == Stored || o.State == Kept }

// Store is the service's database, SQLite or PostgreSQL. It is safe for concurrent use, also by several processes.
type Store struct {
	*Objects
	*Logs
}

// New returns the store of db. Call Migrate first.
func New(db *database.DB) *Store { return &Store{&Objects{base{db}}, &Logs{base{db}}} }

// Migrate brings the tables to this version.
func (s *Store) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	if err := s.Objects.db.Migrate(ctx, files); err != nil {
		return fmt.Errorf("objects table: %w", err)
	}
	return nil
}

type base struct{ db *database.DB }

// change runs one statement and returns how many rows it changed.
func (b base) change(ctx context.Context, doing, q string, args ...any) (n int64, err error) {
	err = b.tx(ctx, doing, func(tx *database.Tx) error {
		n, err = affected(tx.ExecContext(ctx, q, args...))
		return err
	})
	return n, err
}

func (b base) tx(ctx context.Context, doing string, f func(*database.Tx) error) error {
	ctx, cancel := database.Bound(ctx)
	defer cancel()
	if err := b.db.WithTx(ctx, f); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func orElse(changed int64, err, nothing error) error {
	if err == nil && changed == 0 {
		return nothing
	}
	return err
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
