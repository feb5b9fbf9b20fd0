package store

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNotFound says that no row has the id, or none in a state that the call can use.
	ErrNotFound = errors.New("no such object row")
	// ErrMoved says that an upload in pieces stands elsewhere than the caller believes.
	ErrMoved = errors.New("the upload went on meanwhile")
	// ErrNotStaged says that bytes came for a row that waits for none: it has them already, or is condemned.
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

// HasBytes says that the object can be read.
func (o Object) HasBytes() bool { return o.State == Stored || o.State == Kept }

// Store is the table. Implementations are safe for concurrent use, also by several processes.
type Store interface {
	// Migrate brings the table to this version.
	Migrate(ctx context.Context) error
	// Stage inserts rows that wait for bytes, each until its ExpiresAt: all or none.
	Stage(ctx context.Context, o ...Object) error
	// Put inserts a row with its bytes (Small) in one step; false if the id is there already, which changes nothing.
	Put(ctx context.Context, o Object) (bool, error)
	// Bytes reads those of a row that has no key; ErrNotFound if there are none.
	Bytes(ctx context.Context, id string) ([]byte, error)
	// Get returns any row, or ErrNotFound.
	Get(ctx context.Context, id string) (Object, error)
	// OfBuild returns a build's rows that have bytes, kept ones first, then the newest first.
	OfBuild(ctx context.Context, buildID string) ([]Object, error)
	// BeginUpload counts a long upload that begins and moves the row's expiry; ErrNotStaged unless it waits for bytes.
	BeginUpload(ctx context.Context, id string, expires time.Time) error
	// ExtendUpload moves the expiry of a row whose bytes are still arriving.
	ExtendUpload(ctx context.Context, id string, expires time.Time) error
	// BeginPieces notes an upload in pieces and counts it like BeginUpload; ErrMoved if there is one already, ErrNotStaged
	// unless the row waits for bytes.
	BeginPieces(ctx context.Context, id, key, uploadID string, expires time.Time) error
	// Advance notes what has arrived of an upload in pieces; ErrMoved unless it stands at was bytes.
	Advance(ctx context.Context, id string, p Pieces, was int64, expires time.Time) error
	// EndUpload ends an upload that failed and may be tried again: the row stays until it expires. counted is as with GiveUp.
	EndUpload(ctx context.Context, id string, counted bool) error
	// GiveUp ends an upload that failed. counted says that BeginUpload counted it. The row goes once no counted upload is left,
	// unless it has bytes by then.
	GiveUp(ctx context.Context, id string, counted bool) error
	// Commit makes a staged row stored, with the bytes under key or, if that is empty, those of c; ErrNotStaged if another upload was faster or the row is going or gone.
	Commit(ctx context.Context, id, key string, c Content, now, expires time.Time) error
	// Assign returns a row with bytes that is not kept to a build's attempt; false unless the row is a build's that was asked
	// for as from, or has been given to that attempt already.
	Assign(ctx context.Context, id, from, buildID string, attempt int32) (bool, error)
	// Keep makes rows with bytes permanent, all or none: ErrNotFound if one has no bytes.
	Keep(ctx context.Context, ids []string) error
	// Condemn marks a row for deletion if it still is as seen; false means that it changed meanwhile.
	Condemn(ctx context.Context, seen Object) (bool, error)
	// Remove deletes a condemned row, with its bytes if they are in the table.
	Remove(ctx context.Context, id string) error
	// KeptSample returns the keys of up to n of the oldest and n of the newest kept objects whose bytes are in the object store.
	KeptSample(ctx context.Context, n int) ([]string, error)
	// Expired returns up to limit rows past their expiry or condemned, the oldest first.
	Expired(ctx context.Context, now time.Time, limit int) ([]Object, error)
}
