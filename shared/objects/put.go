package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// cancelGrace lets the request in flight finish after a cancellation, so
	// that its outcome is known and can be undone.
	cancelGrace    = 2 * time.Second
	cleanUpTimeout = 30 * time.Second
	// A store on a file system copies the parts together while it completes
	// an upload and says nothing meanwhile: allow it 20 MB/s.
	completeRate = 20 << 20
)

//
//nolint:gochecknoglobals // a pool is shared by its nature
var partBuffers = sync.Pool{New: func() any { b := make([]byte, PartSize); return &b }}

// Put implements Store.
func (s *S3) Put(ctx context.Context, key string, r io.Reader, size, limit int64) (Info, error) {
	if err := s.Away(); err != nil {
		return Info{}, err
	}
	if limit > 0 && size > limit {
		return Info{}, fmt.Errorf("put object %q: %w: %d bytes, the limit is %d", key, ErrTooLarge, size, limit)
	}
	work, dog := watch(ctx, s.cfg.StallTimeout)
	defer dog.stop()
	u := &upload{s3: s, key: key, src: newSource(r, size, limit, dog), dog: dog, size: size}
	defer u.release()
	err := u.run(ctx, work)
	if err == nil {
		err = s.sync(key)
		u.committed = err != nil // what is not durable must not stay
	}
	if err != nil {
		err = describe(work, "put object", key, err)
		return Info{}, errors.Join(err, u.undo(ctx))
	}
	return Info{Key: key, Size: u.src.read, SHA256: hex.EncodeToString(u.src.hash.Sum(nil)), ETag: u.etag}, nil
}

func (s *S3) sync(key string) error {
	if s.cfg.Sync == nil {
		return nil
	}
	if err := s.cfg.Sync(key); err != nil {
		return fmt.Errorf("make durable: %w", err)
	}
	return nil
}

// upload is one Put: a single request when all fits into one part, so that
// small objects cost one round trip, else a multipart upload.
type upload struct {
	s3  *S3
	key string
	src *source
	dog *watchdog
	buf *[]byte

	size      int64 // declared, -1 unknown
	id        string
	parts     []minio.CompletePart
	etag      string
	committed bool // the object exists or may exist
}

func (u *upload) run(ctx, work context.Context) error {
	u.buf = partBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	n, last, err := u.src.fill(ctx, work, *u.buf)
	if err != nil {
		return err
	}
	if last {
		return u.putSingle(work, (*u.buf)[:n])
	}
	if err := u.begin(work); err != nil {
		return err
	}
	for n > 0 {
		if err := u.putPart(work, (*u.buf)[:n]); err != nil {
			return err
		}
		if last {
			break
		}
		if n, last, err = u.src.fill(ctx, work, *u.buf); err != nil {
			return err
		}
	}
	return u.complete(work)
}

func (u *upload) putSingle(ctx context.Context, data []byte) error {
	out, err := u.s3.core.PutObject(ctx, u.s3.cfg.Bucket, u.key, u.body(data), int64(len(data)), "", digest(data), minio.PutObjectOptions{DisableContentSha256: true})
	u.etag, u.committed = out.ETag, err != nil && ambiguous(err)
	return err
}

func (u *upload) begin(ctx context.Context) (err error) {
	u.id, err = u.s3.core.NewMultipartUpload(ctx, u.s3.cfg.Bucket, u.key, minio.PutObjectOptions{})
	return err
}

func (u *upload) putPart(ctx context.Context, data []byte) error {
	number := len(u.parts) + 1
	if number > maxParts {
		return fmt.Errorf("%w: more than %d parts of %d bytes", ErrTooLarge, maxParts, PartSize)
	}
	opts := minio.PutObjectPartOptions{Sha256Hex: digest(data), DisableContentSha256: true}
	part, err := u.s3.core.PutObjectPart(ctx, u.s3.cfg.Bucket, u.key, u.id, number, u.body(data), int64(len(data)), opts)
	if err != nil {
		return fmt.Errorf("part %d: %w", number, err)
	}
	u.parts = append(u.parts, minio.CompletePart{PartNumber: number, ETag: part.ETag})
	return nil
}

func (u *upload) complete(ctx context.Context) error {
	u.dog.allow(u.s3.cfg.StallTimeout + time.Duration(u.src.read/completeRate)*time.Second)
	out, err := u.s3.core.CompleteMultipartUpload(ctx, u.s3.cfg.Bucket, u.key, u.id, u.parts, minio.PutObjectOptions{})
	u.etag, u.committed = out.ETag, err != nil && ambiguous(err)
	return err
}

// undo removes what a failed upload left in the store. It runs after a
// cancellation too, hence the fresh deadline.
func (u *upload) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(ctx), insist{}, true), cleanUpTimeout)
	defer cancel()
	var errs []error
	if u.id != "" {
		errs = append(errs, u.s3.abort(ctx, u.key, u.id))
	}
	if u.committed {
		errs = append(errs, u.s3.remove(ctx, u.key))
	}
	return errors.Join(errs...)
}

func (u *upload) body(data []byte) io.Reader {
	return &progressReader{r: bytes.NewReader(data), dog: u.dog}
}

// digest signs a request's whole body, which is in memory anyway, in place of
// minio-go's signed chunks ("DisableContentSha256" turns only those off). It
// costs the same, and versitygw 1.8.0 leaves an empty body's last chunk unread
// on the connection, where it garbles the next request.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// release returns the buffer unless a blocked source may still write into it.
func (u *upload) release() {
	if u.buf != nil && !u.src.abandoned {
		partBuffers.Put(u.buf)
	}
}

// progressReader tells the watchdog that bytes leave. It can seek, which
// minio-go needs to repeat a request, and hides bytes.Reader's WriteTo, which
// would send everything in one step.
type progressReader struct {
	r   *bytes.Reader
	dog *watchdog
}

func (p *progressReader) Read(b []byte) (int, error) {
	p.dog.touch()
	return p.r.Read(b)
}

func (p *progressReader) Seek(offset int64, whence int) (int64, error) {
	return p.r.Seek(offset, whence)
}
