package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
)

// Log returns where a build's log is. If it is not archived, which is no error, all of it is in the stream.
func (a *Archivist) Log(ctx context.Context, req *artifactv1.LogRequest) (*artifactv1.LogResponse, error) {
	l, err := a.logs.Log(ctx, req.GetBuildId())
	if catalog.IsMissing(err) {
		return &artifactv1.LogResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	resp := &artifactv1.LogResponse{
		Lines: l.Lines, ThroughSeq: l.ThroughSeq, ArchivedAtMs: ms(l.ArchivedAt), KeptUntilMs: ms(a.keptUntil(l)), RemovedAtMs: ms(l.RemovedAt),
	}
	if l.ObjectID == "" {
		return resp, nil
	}
	o, err := a.catalog.Readable(ctx, l.ObjectID)
	if err != nil {
		return nil, err
	}
	resp.Object = catalog.Ref(o)
	return resp, nil
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// keptUntil is zero for a log that is kept for ever.
func (a *Archivist) keptUntil(l store.Log) time.Time {
	if a.cfg.Retention == 0 {
		return time.Time{}
	}
	return l.EndedAt.Add(a.cfg.Retention)
}

// Source reads a stored archive.
type Source struct {
	Catalog *catalog.Catalog
	Row     store.Object
}

// Size implements logarchive.Source.
func (o Source) Size() int64 { return o.Row.Size }

// ReadAt implements logarchive.Source.
func (o Source) ReadAt(ctx context.Context, p []byte, offset int64) error {
	r, _, err := o.Catalog.Open(ctx, o.Row, offset, int64(len(p)))
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(r, p); err != nil {
		return errors.Join(fmt.Errorf("read log %s: %w", o.Row.ID, err), r.Close())
	}
	return r.Close()
}
