package objects

import (
	"context"
	"iter"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// S3's own bound for a plain copy; larger ones are copied in parts.
	maxPlainCopy = 5 << 30
	listPage     = 1000
)

// List implements Store.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, MaxKeys: listPage}
		for o := range s.core.ListObjectsIter(ctx, s.cfg.Bucket, opts) {
			if o.Err != nil {
				yield(Info{}, describe(ctx, "list objects", prefix, o.Err))
				return
			}
			if !yield(infoOf(o), nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Info{}, describe(ctx, "list objects", prefix, err))
		}
	}
}

// Copy implements Store.
func (s *S3) Copy(ctx context.Context, from, to string) error {
	if err := s.Away(); err != nil {
		return err
	}
	info, err := s.Stat(ctx, from)
	if err != nil {
		return err
	}
	wait := s.cfg.Timeout + time.Duration(info.Size/completeRate)*time.Second
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	src := minio.CopySrcOptions{Bucket: s.cfg.Bucket, Object: from, MatchETag: info.ETag}
	dst := minio.CopyDestOptions{Bucket: s.cfg.Bucket, Object: to}
	if info.Size <= maxPlainCopy {
		_, err = s.core.Client.CopyObject(ctx, dst, src)
	} else {
		_, err = s.core.ComposeObject(ctx, dst, src)
	}
	if err == nil {
		err = s.sync(to)
	}
	return describe(ctx, "copy object to "+to+" from", from, err)
}

// AbortStale implements Store. MinIO lists uploads only by exact key and
// expires them itself after a day, so there it finds nothing to do.
func (s *S3) AbortStale(ctx context.Context, olderThan time.Duration) (int, error) {
	before := time.Now().Add(-olderThan)
	aborted, keyMarker, idMarker := 0, "", ""
	for {
		page, err := s.listUploads(ctx, keyMarker, idMarker)
		if err != nil {
			return aborted, describe(ctx, "list uploads in", s.cfg.Bucket, err)
		}
		for _, u := range page.Uploads {
			if u.Initiated.After(before) {
				continue
			}
			if err := s.abort(ctx, u.Key, u.UploadID); err != nil {
				return aborted, err
			}
			aborted++
		}
		if !page.IsTruncated {
			return aborted, nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

func (s *S3) listUploads(ctx context.Context, keyMarker, idMarker string) (minio.ListMultipartUploadsResult, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	return s.core.ListMultipartUploads(ctx, s.cfg.Bucket, "", keyMarker, idMarker, "", listPage)
}

// abort ends an upload; one that is already gone is no error.
func (s *S3) abort(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err := s.core.AbortMultipartUpload(ctx, s.cfg.Bucket, key, id)
	if err == nil || minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
		return nil
	}
	return describe(ctx, "abort upload of", key, err)
}
