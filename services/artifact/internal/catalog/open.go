package catalog

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// Open opens the bytes as they are stored, in the table or the object store, and returns the size of the whole. A negative length
// reads to the end.
func (c *Catalog) Open(ctx context.Context, o store.Object, start, length int64) (io.ReadCloser, int64, error) {
	if o.Key != "" {
		r, info, err := c.Objects.Get(ctx, o.Key, start, length)
		return r, info.Size, err
	}
	data, err := c.small(ctx, o)
	if err != nil {
		return nil, 0, err
	}
	size := int64(len(data))
	if start = min(start, size); length < 0 || length > size-start {
		length = size - start
	}
	return io.NopCloser(bytes.NewReader(data[start : start+length])), size, nil
}

// small reads the bytes of a row that has no key. Missing ones are damage, as a missing object in the object store is.
func (c *Catalog) small(ctx context.Context, o store.Object) ([]byte, error) {
	data, err := c.Rows.Bytes(ctx, o.ID)
	if IsMissing(err) {
		return nil, fmt.Errorf("%w: its bytes are gone", objects.ErrCorrupt)
	}
	return data, err
}
