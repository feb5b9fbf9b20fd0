package objectstest

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/expo-free-agent/freeagent/shared/objects"
)

// Op names a Store's method.
type Op string

// The operations that a fault function is asked about. OpRead is each Read of
// a Get's or File's bytes.
const (
	OpEnsureBucket Op = "ensure-bucket"
	OpBucketExists Op = "bucket-exists"
	OpPut          Op = "put"
	OpGet          Op = "get"
	OpRead         Op = "read"
	OpStat         Op = "stat"
	OpDelete       Op = "delete"
	OpCopy         Op = "copy"
	OpPieces       Op = "pieces" // all that begin, put, join or drop
	OpAbortStale   Op = "abort-stale"
	OpList         Op = "list"
)

// WithDelay makes every operation of store, and every Read, wait d first. The
// wait ends with the operation's context.
func WithDelay(store objects.Store, d time.Duration) objects.Store {
	return &faulty{Store: store, before: func(ctx context.Context, _ Op, _ string) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
}

// WithFailure makes an operation fail with fail's error; nil lets it pass. key
// is a prefix for OpList and empty for operations without one. fail is called
// concurrently.
func WithFailure(store objects.Store, fail func(op Op, key string) error) objects.Store {
	return &faulty{Store: store, before: func(_ context.Context, op Op, key string) error {
		return fail(op, key)
	}}
}

type faulty struct {
	objects.Store

	before func(ctx context.Context, op Op, key string) error
}

var _ objects.Store = (*faulty)(nil)

func (f *faulty) EnsureBucket(ctx context.Context) error {
	if err := f.before(ctx, OpEnsureBucket, ""); err != nil {
		return err
	}
	return f.Store.EnsureBucket(ctx)
}

func (f *faulty) BucketExists(ctx context.Context) (bool, error) {
	if err := f.before(ctx, OpBucketExists, ""); err != nil {
		return false, err
	}
	return f.Store.BucketExists(ctx)
}

func (f *faulty) Put(ctx context.Context, key string, r io.Reader, size, limit int64) (objects.Info, error) {
	if err := f.before(ctx, OpPut, key); err != nil {
		return objects.Info{}, err
	}
	return f.Store.Put(ctx, key, r, size, limit)
}

func (f *faulty) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, objects.Info, error) {
	if err := f.before(ctx, OpGet, key); err != nil {
		return nil, objects.Info{}, err
	}
	rc, info, err := f.Store.Get(ctx, key, offset, length)
	if err != nil {
		return nil, objects.Info{}, err
	}
	return &faultyReader{ReadCloser: rc, before: func() error { return f.before(ctx, OpRead, key) }}, info, nil
}

func (f *faulty) Open(ctx context.Context, key string) (objects.File, error) {
	return objects.OpenFile(ctx, f, key)
}

func (f *faulty) Stat(ctx context.Context, key string) (objects.Info, error) {
	if err := f.before(ctx, OpStat, key); err != nil {
		return objects.Info{}, err
	}
	return f.Store.Stat(ctx, key)
}

func (f *faulty) Delete(ctx context.Context, key string) error {
	if err := f.before(ctx, OpDelete, key); err != nil {
		return err
	}
	return f.Store.Delete(ctx, key)
}

func (f *faulty) BeginPieces(ctx context.Context, key string) (objects.Pieced, error) {
	if err := f.before(ctx, OpPieces, key); err != nil {
		return objects.Pieced{}, err
	}
	return f.Store.BeginPieces(ctx, key)
}

func (f *faulty) PutPiece(ctx context.Context, p objects.Pieced, number int, data []byte) (string, error) {
	if err := f.before(ctx, OpPieces, p.Key); err != nil {
		return "", err
	}
	return f.Store.PutPiece(ctx, p, number, data)
}

func (f *faulty) JoinPieces(ctx context.Context, p objects.Pieced, names []string, size int64) error {
	if err := f.before(ctx, OpPieces, p.Key); err != nil {
		return err
	}
	return f.Store.JoinPieces(ctx, p, names, size)
}

func (f *faulty) DropPieces(ctx context.Context, p objects.Pieced) error {
	if err := f.before(ctx, OpPieces, p.Key); err != nil {
		return err
	}
	return f.Store.DropPieces(ctx, p)
}

func (f *faulty) Copy(ctx context.Context, from, to string) error {
	if err := f.before(ctx, OpCopy, from); err != nil {
		return err
	}
	return f.Store.Copy(ctx, from, to)
}

func (f *faulty) AbortStale(ctx context.Context, olderThan time.Duration) (int, error) {
	if err := f.before(ctx, OpAbortStale, ""); err != nil {
		return 0, err
	}
	return f.Store.AbortStale(ctx, olderThan)
}

func (f *faulty) List(ctx context.Context, prefix string) iter.Seq2[objects.Info, error] {
	return func(yield func(objects.Info, error) bool) {
		if err := f.before(ctx, OpList, prefix); err != nil {
			yield(objects.Info{}, err)
			return
		}
		f.Store.List(ctx, prefix)(yield)
	}
}

type faultyReader struct {
	io.ReadCloser

	before func() error
}

func (r *faultyReader) Read(b []byte) (int, error) {
	if err := r.before(); err != nil {
		return 0, err
	}
	return r.ReadCloser.Read(b)
}
