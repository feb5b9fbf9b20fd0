package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// Small objects (api.SmallObject) live in the table: one transaction instead of a put, its syncs and two transactions around
// it. What is asked of them is the same: judged before they are stored, hashed, verified on the way out.

// Store takes a small object that comes with the request.
func (s requests) Store(ctx context.Context, req *artifactv1.StoreRequest) (*artifactv1.StoreResponse, error) {
	if err := s.validStore(ctx, req); err != nil {
		return nil, err
	}
	claim, err := s.space.claim(int64(len(req.GetData())))
	if err != nil {
		return nil, err
	}
	defer claim.release()
	now := s.now()
	o := store.Object{
		ID: req.GetObjectId(), BuildID: req.GetBuildId(), Attempt: req.GetAttempt(), Kind: int32(req.GetKind()),
		Project: req.GetProject(), Name: displayName(req.GetName(), req.GetKind()), State: store.Stored,
		Content: smallContent(req.GetData()), CreatedAt: now, ExpiresAt: now.Add(s.cfg.StagedTTL),
	}
	put, err := s.rows.Put(ctx, o)
	if err != nil {
		return nil, err
	}
	if !put {
		return s.storedBefore(ctx, o)
	}
	s.noteStored(ctx, o)
	return &artifactv1.StoreResponse{Object: ref(o)}, nil
}

func (s *Service) validStore(ctx context.Context, req *artifactv1.StoreRequest) error {
	k, data := req.GetKind(), req.GetData()
	if err := validTarget(req.GetBuildId(), k); err != nil {
		return err
	}
	switch {
	case !build.ValidID(req.GetObjectId()):
		return refuse(build.ErrInvalid, "object id %.80q is not valid", req.GetObjectId())
	case k == artifactv1.Kind_KIND_CERTS:
		return refuse(build.ErrInvalid, "certs do not travel over the bus")
	case req.GetAttempt() < 0 || req.GetAttempt() > 0 && k != artifactv1.Kind_KIND_RESULT:
		return refuse(build.ErrInvalid, "attempt %d of what the submitter sent", req.GetAttempt())
	case len(data) > api.SmallObject:
		return refuse(build.ErrInvalid, "%d bytes in one request, at most %d are allowed", len(data), api.SmallObject)
	case int64(len(data)) > s.cfg.limit(k):
		return tooLarge(k, s.cfg.limit(k))
	case k == artifactv1.Kind_KIND_SOURCE:
		return s.judgeSource(ctx, data)
	}
	return nil
}

func (s *Service) judgeSource(ctx context.Context, data []byte) error {
	if err := sourceHead(head(data)); err != nil {
		return err
	}
	return s.inspect(ctx, bytes.NewReader(data), int64(len(data)))
}

func head(data []byte) []byte { return data[:min(len(data), archive.MagicLen)] }

func smallContent(data []byte) store.Content {
	sum := sha256.Sum256(data)
	return store.Content{
		Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), ContentType: contentType(head(data)), Small: data,
	}
}

// storedBefore answers the repeat of a request whose answer was lost.
func (s *Service) storedBefore(ctx context.Context, o store.Object) (*artifactv1.StoreResponse, error) {
	row, err := s.readable(ctx, o.ID)
	switch {
	case err != nil:
		return nil, err
	case row.BuildID != o.BuildID || row.SHA256 != o.SHA256 || row.Kind != o.Kind:
		return nil, refuse(build.ErrInvalid, "object id %s is in use", o.ID)
	}
	return &artifactv1.StoreResponse{Object: ref(row)}, nil
}

// keepSmall reads and judges an upload that fits into a row.
func (u *incoming) keepSmall(ctx context.Context) (store.Content, error) {
	data, err := u.readAll()
	if err == nil && u.judged() {
		err = u.s.inspect(ctx, bytes.NewReader(data), int64(len(data)))
	}
	if err == nil && int64(len(data)) != u.length {
		err = because(errCut, io.ErrUnexpectedEOF, "the upload was cut off")
	}
	if err != nil {
		return store.Content{}, err
	}
	u.key = ""
	return smallContent(data), nil
}

// stored opens the bytes as they lie, from the table or the object store, and says how many the whole has.
func (s *Service) stored(ctx context.Context, o store.Object, start, length int64) (io.ReadCloser, int64, error) {
	if o.Key != "" {
		r, info, err := s.objects.Get(ctx, o.Key, start, length)
		return r, info.Size, err
	}
	data, err := s.small(ctx, o)
	if err != nil {
		return nil, 0, err
	}
	size := int64(len(data))
	if start = min(start, size); length < 0 || length > size-start {
		length = size - start
	}
	return io.NopCloser(bytes.NewReader(data[start : start+length])), size, nil
}

// small reads the bytes of a row that has no key. That there are none is a fault of the table, as a missing object is the
// store's.
func (s *Service) small(ctx context.Context, o store.Object) ([]byte, error) {
	data, err := s.rows.Bytes(ctx, o.ID)
	if isMissing(err) {
		return nil, fmt.Errorf("%w: its bytes are gone", objects.ErrCorrupt)
	}
	return data, err
}
