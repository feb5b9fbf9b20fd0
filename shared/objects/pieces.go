package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"
)

// Pieced names an upload in pieces. It outlives processes: a process that knows the
// names of its pieces can continue it.
type Pieced struct {
	Key string
	ID  string // the store's
}

// BeginPieces implements Store.
func (s *S3) BeginPieces(ctx context.Context, key string) (Pieced, error) {
	if err := s.Away(); err != nil {
		return Pieced{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	id, err := s.core.NewMultipartUpload(ctx, s.cfg.Bucket, key, minio.PutObjectOptions{})
	if err != nil {
		return Pieced{}, describe(ctx, "begin pieces of object", key, err)
	}
	return Pieced{Key: key, ID: id}, nil
}

// PutPiece implements Store.
func (s *S3) PutPiece(ctx context.Context, p Pieced, number int, data []byte) (string, error) {
	if err := s.Away(); err != nil {
		return "", err
	}
	if number > maxParts {
		return "", fmt.Errorf("%w: more than %d pieces", ErrTooLarge, maxParts)
	}
	ctx, dog := watch(ctx, s.cfg.StallTimeout)
	defer dog.stop()
	body := &progressReader{r: bytes.NewReader(data), dog: dog}
	opts := minio.PutObjectPartOptions{Sha256Hex: digest(data), DisableContentSha256: true}
	part, err := s.core.PutObjectPart(ctx, s.cfg.Bucket, p.Key, p.ID, number, body, int64(len(data)), opts)
	if err != nil {
		return "", describe(ctx, fmt.Sprintf("piece %d of object", number), p.Key, err)
	}
	return part.ETag, nil
}

// JoinPieces implements Store.
func (s *S3) JoinPieces(ctx context.Context, p Pieced, names []string, size int64) error {
	if err := s.Away(); err != nil {
		return err
	}
	parts := make([]minio.CompletePart, len(names))
	for i, name := range names {
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: name}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StallTimeout+time.Duration(size/completeRate)*time.Second)
	defer cancel()
	_, err := s.core.CompleteMultipartUpload(ctx, s.cfg.Bucket, p.Key, p.ID, parts, minio.PutObjectOptions{})
	if err = describe(ctx, "join pieces of object", p.Key, err); errors.Is(err, ErrNoUpload) {
		// Joined before, perhaps, and the answer was lost.
		if there, serr := s.Stat(ctx, p.Key); serr == nil && there.Size == size {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return describe(ctx, "join pieces of object", p.Key, s.sync(p.Key))
}

// DropPieces implements Store.
func (s *S3) DropPieces(ctx context.Context, p Pieced) error {
	if err := s.Away(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	return s.abort(ctx, p.Key, p.ID)
}
