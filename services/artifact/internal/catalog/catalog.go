package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/meter"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/seal"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// Config of a catalog.
type Config struct {
	// StagedTTL is how long an object that nobody keeps may stay, counted from its last byte.
	StagedTTL time.Duration
	// Limits are the largest objects accepted.
	Limits Limits
	// ReserveBytes of the object store's disk stay free.
	ReserveBytes int64
	// Unpack bounds what a source may unpack to.
	Unpack archive.Limits
}

// Deps are what a catalog works with.
type Deps struct {
	Rows    *store.Objects
	Objects objects.Store
	// Box seals certs.
	Box *seal.Box
	// FreeSpace returns the free bytes of the object store's disk; nil: unknown.
	FreeSpace func() (uint64, error)
	Meter     *meter.Meter
	Log       *slog.Logger
}

// Catalog couples the rows of objects with their bytes. It is safe for concurrent use.
type Catalog struct {
	Config
	Deps
	// Space of the object store's disk.
	Space *Space
}

// New returns a catalog.
func New(cfg Config, d Deps) *Catalog {
	return &Catalog{Config: cfg, Deps: d, Space: &Space{free: d.FreeSpace, reserve: cfg.ReserveBytes}}
}

// ValidTarget refuses a build id or kind that cannot be.
func ValidTarget(buildID string, k artifactv1.Kind) error {
	if !build.ValidID(buildID) {
		return httpx.Refuse(build.ErrInvalid, "invalid build id %.80q", buildID)
	}
	if KindName(k) == "" {
		return httpx.Refuse(build.ErrInvalid, "unknown kind of object %d", int32(k))
	}
	return nil
}

// Stage writes the row of an object that waits for bytes, before its first byte can arrive.
func (c *Catalog) Stage(ctx context.Context, o store.Object) (store.Object, error) {
	o = c.NewRow(o)
	return o, c.Rows.Stage(ctx, o)
}

// NewRow completes the row of an object that waits for bytes: id, prefix, expiry.
func (c *Catalog) NewRow(o store.Object) store.Object {
	o.ID, o.State = build.NewID(), store.Staged
	o.Name = displayName(o.Name, KindOf(o))
	o.Prefix = keyPrefix(o)
	o.CreatedAt = time.Now()
	o.ExpiresAt = o.CreatedAt.Add(c.StagedTTL)
	return o
}

// Ref returns the object as events and answers name it.
func Ref(o store.Object) *eventsv1.ObjectRef {
	return &eventsv1.ObjectRef{
		ObjectId: o.ID, Size: o.Size, Sha256: o.SHA256, Name: o.Name, ContentType: o.ContentType,
	}
}

// Readable returns a row that has bytes, or store.ErrNotFound.
func (c *Catalog) Readable(ctx context.Context, id string) (store.Object, error) {
	o, err := c.Rows.Get(ctx, id)
	if err == nil && !o.HasBytes() {
		err = fmt.Errorf("object %s is %s: %w", id, o.State, store.ErrNotFound)
	}
	return o, err
}

// Commit makes a staged row stored, with the bytes under key or those of content, and until StagedTTL has passed. It returns
// store.ErrNotStaged if another upload was faster.
func (c *Catalog) Commit(ctx context.Context, id, key string, content store.Content) error {
	now := time.Now()
	return c.Rows.Commit(ctx, id, key, content, now, now.Add(c.StagedTTL))
}

// NoteStored counts and logs an object that was stored.
func (c *Catalog) NoteStored(ctx context.Context, o store.Object) {
	c.Meter.Stored.Add(ctx, 1)
	c.Meter.StoredBytes.Add(ctx, o.Size)
	c.Log.InfoContext(ctx, "object stored", "object_id", o.ID, "build_id", o.BuildID,
		"kind", KindName(KindOf(o)), "size", o.Size, "sha256", o.SHA256)
}

// TooLarge is the refusal of an object above its limit.
func TooLarge(k artifactv1.Kind, limit int64) error {
	what := KindName(k)
	switch k {
	case artifactv1.Kind_KIND_ARTIFACTS:
		what = "archive of build artifacts"
	case artifactv1.Kind_KIND_CACHE:
		what = "cache entry"
	}
	return httpx.Refuse(build.ErrTooLarge, "the %s is larger than the limit of %s", what, megabytes(limit))
}

// IsMissing reports whether an error says that there is no such row.
func IsMissing(err error) bool { return errors.Is(err, store.ErrNotFound) }
