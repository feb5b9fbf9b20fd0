package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// ErrNoCache means that the farm has no shared cache for this build.
var ErrNoCache = errors.New("the farm has no shared cache for this build")

// askCache asks about an entry of the farm's cache. A lost lease is not noted: other requests will say so.
func (t *Transfers) askCache(ctx context.Context, req *artifactv1.WorkerGrantRequest) (*artifactv1.WorkerGrantResponse, error) {
	req.Kind = artifactv1.Kind_KIND_CACHE
	req.WorkerId, req.BuildId, req.Attempt = t.WorkerID, t.Lease.BuildID, t.Lease.Attempt
	resp, err := t.Farm.Artifact().Grant(ctx, req)
	switch {
	case errors.Is(err, build.ErrInvalid), err == nil && !resp.GetCache().GetEnabled(): // a server before this kind calls it invalid
		return nil, ErrNoCache
	case err != nil:
		return nil, fmt.Errorf("ask for the entry: %w", err)
	}
	return resp, nil
}

// FetchCache writes an entry of the farm's cache to a file, and checks its SHA-256. ok is false if there is none. It is ErrNoCache if the farm has
// no cache.
func (t *Transfers) FetchCache(ctx context.Context, name, key string, to *os.File) (e runtime.SharedEntry, ok bool, err error) {
	resp, err := t.askCache(ctx, &artifactv1.WorkerGrantRequest{CacheName: name, CacheKey: key})
	if err != nil || !resp.GetCache().GetPresent() {
		return e, false, err
	}
	o := resp.GetGrant().GetObject()
	if o.GetSha256() == "" {
		return e, false, errors.New("the farm does not say what the entry's SHA-256 is")
	}
	if err := t.Gateway.Objects.Download(ctx, httpGrant(resp.GetGrant()), to, o.GetSize(), o.GetSha256()); err != nil {
		return e, false, err
	}
	return runtime.SharedEntry{Packed: o.GetSize(), Trusted: resp.GetCache().GetTrusted()}, true, nil
}

// untilDone ends reading when ctx does.
type untilDone struct {
	ctx context.Context //nolint:containedctx // of the one read
	io.Reader
}

// Read implements io.Reader.
func (r untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// CacheUpload is an entry that the farm will take.
type CacheUpload struct {
	Name  string
	Size  int64
	grant *artifactv1.Grant
	file  *os.File
}

// OfferCache asks for the right to write an entry to the farm's cache. It returns nil if the farm has it. Unless again is set, the farm is asked
// first, which spares the reading of the file. The file is the upload's if there is one.
func (t *Transfers) OfferCache(ctx context.Context, name, key string, f *os.File, again bool) (*CacheUpload, error) {
	if !again {
		resp, err := t.askCache(ctx, &artifactv1.WorkerGrantRequest{CacheName: name, CacheKey: key, CacheWrite: true})
		if err != nil || resp.GetCache().GetPresent() {
			return nil, err
		}
	}
	h := sha256.New()
	size, err := io.Copy(h, untilDone{ctx, f})
	if err != nil {
		return nil, fmt.Errorf("read the entry: %w", err)
	}
	resp, err := t.askCache(ctx, &artifactv1.WorkerGrantRequest{
		CacheName: name, CacheKey: key, CacheWrite: true, Size: size, Sha256: hex.EncodeToString(h.Sum(nil)),
	})
	if err != nil {
		return nil, err
	}
	return &CacheUpload{Name: name, Size: size, grant: resp.GetGrant(), file: f}, nil
}

// SendCache uploads an entry. It needs no lease any more.
func (t *Transfers) SendCache(ctx context.Context, u *CacheUpload) error {
	_, err := t.Gateway.Objects.Upload(ctx, httpGrant(u.grant), io.NewSectionReader(u.file, 0, u.Size), nil)
	return err
}

// Close closes the entry's file.
func (u *CacheUpload) Close() { _ = u.file.Close() } // nothing was written
