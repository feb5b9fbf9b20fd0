package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Get implements Store.
func (s *S3) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error) {
	if err := s.Away(); err != nil {
		return nil, Info{}, err
	}
	if offset < 0 {
		return nil, Info{}, fmt.Errorf("get object %q: %w: offset %d", key, ErrRange, offset)
	}
	if length == 0 {
		return s.getNothing(ctx, key, offset)
	}
	opts := minio.GetObjectOptions{}
	if r := byteRange(offset, length); r != "" {
		opts.Set("Range", r)
	}
	work, dog := watchReads(ctx, s.cfg.StallTimeout)
	body, o, header, err := s.core.GetObject(work, s.cfg.Bucket, key, opts)
	if err != nil {
		err = describe(work, "get object", key, err)
		dog.stop()
		return nil, Info{}, err
	}
	dog.pause()
	info := infoOf(o)
	info.Key, info.Size = key, wholeSize(header, o.Size)
	return &download{ctx: work, key: key, body: body, dog: dog}, info, nil
}

// getNothing answers a Get of no bytes, which a Range header cannot express.
func (s *S3) getNothing(ctx context.Context, key string, offset int64) (io.ReadCloser, Info, error) {
	info, err := s.Stat(ctx, key)
	if err == nil && offset > info.Size {
		err = fmt.Errorf("get object %q: %w: offset %d of %d bytes", key, ErrRange, offset, info.Size)
	}
	if err != nil {
		return nil, Info{}, err
	}
	return http.NoBody, info, nil
}

func byteRange(offset, length int64) string {
	switch {
	case length > 0:
		return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
	case offset > 0:
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return ""
}

// wholeSize reads the object's size from "bytes 0-9/1234"; an answer without
// Content-Range carries the whole object.
func wholeSize(header http.Header, contentLength int64) int64 {
	_, total, ok := strings.Cut(header.Get("Content-Range"), "/")
	if n, err := strconv.ParseInt(total, 10, 64); ok && err == nil {
		return n
	}
	return contentLength
}

// download ends with ErrStalled when the store sends nothing for too long. A
// slow consumer is no stall: the clock runs only inside Read.
type download struct {
	ctx  context.Context // of the request, for the cause of its end
	key  string
	body io.ReadCloser
	dog  *watchdog
}

func (d *download) Read(b []byte) (int, error) {
	d.dog.touch()
	n, err := d.body.Read(b)
	d.dog.pause()
	if err != nil && !errors.Is(err, io.EOF) {
		err = describe(d.ctx, "read object", d.key, err)
	}
	return n, err
}

func (d *download) Close() error {
	d.dog.stop() // first: otherwise Close could wait for the rest of the body
	d.body.Close()
	return nil
}
