package logs

import (
	"context"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
)

// maxArchives bounds the open archives. Each holds its index, usually some kilobytes.
const maxArchives = 64

// archiveCache keeps archives open, so that the next page of a log does not read the index again.
// Objects never change.
type archiveCache struct {
	source func(o *eventsv1.ObjectRef) logarchive.Source
	open   *lru.Cache[string, *logarchive.Reader]
}

func newArchiveCache(source func(o *eventsv1.ObjectRef) logarchive.Source) (*archiveCache, error) {
	open, err := lru.New[string, *logarchive.Reader](maxArchives)
	if err != nil {
		return nil, fmt.Errorf("hold archives open: %w", err)
	}
	return &archiveCache{source: source, open: open}, nil
}

func (c *archiveCache) get(ctx context.Context, o *eventsv1.ObjectRef) (*logarchive.Reader, error) {
	if r, ok := c.open.Get(o.GetObjectId()); ok {
		return r, nil
	}
	r, err := logarchive.Open(ctx, c.source(o))
	if err != nil {
		return nil, err
	}
	c.open.Add(o.GetObjectId(), r)
	return r, nil
}
