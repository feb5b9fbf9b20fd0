package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Store stores a small object (api.SmallObject) that comes with the request. It lies in the table: one transaction instead of a put,
// its syncs and two transactions around it. It is inspected, hashed and verified like any other. A repeat returns the first
// answer.
func (r Requests) Store(ctx context.Context, req *artifactv1.StoreRequest) (*artifactv1.StoreResponse, error) {
	if err := r.Catalog.validStore(ctx, req); err != nil {
		return nil, err
	}
	claim, err := r.Catalog.Space.Claim(int64(len(req.GetData())))
	if err != nil {
		return nil, err
	}
	defer claim.Release()
	now := time.Now()
	o := store.Object{
		ID: req.GetObjectId(), BuildID: req.GetBuildId(), Attempt: req.GetAttempt(), Kind: int32(req.GetKind()),
		Project: req.GetProject(), Name: displayName(req.GetName(), req.GetKind()), State: store.Stored,
		Content: SmallContent(req.GetData()), CreatedAt: now, ExpiresAt: now.Add(r.Catalog.StagedTTL),
	}
	put, err := r.Catalog.Rows.Put(ctx, o)
	if err != nil {
		return nil, err
	}
	if !put {
		return r.Catalog.storedBefore(ctx, o)
	}
	r.Catalog.NoteStored(ctx, o)
	return &artifactv1.StoreResponse{Object: Ref(o)}, nil
}

func (c *Catalog) validStore(ctx context.Context, req *artifactv1.StoreRequest) error {
	k, data := req.GetKind(), req.GetData()
	if err := ValidTarget(req.GetBuildId(), k); err != nil {
		return err
	}
	switch {
	case !build.ValidID(req.GetObjectId()):
		return httpx.Refuse(build.ErrInvalid, "invalid object id %.80q", req.GetObjectId())
	case k == artifactv1.Kind_KIND_CERTS:
		return httpx.Refuse(build.ErrInvalid, "certs must be uploaded over HTTP")
	case req.GetAttempt() < 0 || req.GetAttempt() > 0 && k != artifactv1.Kind_KIND_RESULT:
		return httpx.Refuse(build.ErrInvalid, "only a result has an attempt (got attempt %d)", req.GetAttempt())
	case len(data) > api.SmallObject:
		return httpx.Refuse(build.ErrInvalid, "%d bytes in one request, at most %d are allowed", len(data), api.SmallObject)
	case int64(len(data)) > c.Limits.Of(k):
		return TooLarge(k, c.Limits.Of(k))
	case k == artifactv1.Kind_KIND_SOURCE:
		return c.judgeSource(ctx, data)
	}
	return nil
}

func (c *Catalog) judgeSource(ctx context.Context, data []byte) error {
	if err := CheckHead(head(data)); err != nil {
		return err
	}
	return c.Inspect(ctx, bytes.NewReader(data), int64(len(data)))
}

func head(data []byte) []byte { return data[:min(len(data), archive.MagicLen)] }

// SmallContent is the content of an object that lies in the table.
func SmallContent(data []byte) store.Content {
	sum := sha256.Sum256(data)
	return store.Content{
		Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), ContentType: ContentType(head(data)), Small: data,
	}
}

// storedBefore answers the repeat of a request whose answer was lost.
func (c *Catalog) storedBefore(ctx context.Context, o store.Object) (*artifactv1.StoreResponse, error) {
	row, err := c.Readable(ctx, o.ID)
	switch {
	case err != nil:
		return nil, err
	case row.BuildID != o.BuildID || row.SHA256 != o.SHA256 || row.Kind != o.Kind:
		return nil, httpx.Refuse(build.ErrInvalid, "object id %s is in use", o.ID)
	}
	return &artifactv1.StoreResponse{Object: Ref(row)}, nil
}
