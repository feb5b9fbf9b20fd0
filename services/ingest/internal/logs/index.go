package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// maxPlaces bounds the checkpoints of all logs together: 100,000,000 lines, about 20 MiB.
	maxPlaces = 50_000
	// jumpLines is the distance below which reading is as fast as searching for a checkpoint.
	jumpLines = 2 * checkpointEvery
)

// index holds checkpoints of logs in the stream. They stay valid because a log only grows; the
// stream's creation time detects a stream that was created anew. It is safe for concurrent use.
type index struct {
	mu    sync.Mutex
	byID  map[string]*places
	count int
}

type places struct {
	made time.Time
	at   []Checkpoint // rising
}

// near returns the last checkpoint before a line, nil if there is none.
func (x *index) near(id string, made time.Time, line int64) *Checkpoint {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.byID[id]
	if p == nil || !p.made.Equal(made) {
		return nil
	}
	n := sort.Search(len(p.at), func(i int) bool { return p.at[i].numbers.Lines() >= line })
	if n == 0 {
		return nil
	}
	return &p.at[n-1]
}

// add stores checkpoints, except those close to a known one.
func (x *index) add(id string, made time.Time, found []Checkpoint) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byID == nil || x.count+len(found) > maxPlaces { // dropping them costs one search per log
		x.byID, x.count = map[string]*places{}, 0
	}
	p := x.byID[id]
	if p == nil || !p.made.Equal(made) {
		x.drop(id)
		p = &places{made: made}
		x.byID[id] = p
	}
	for _, c := range found {
		at := sort.Search(len(p.at), func(i int) bool { return p.at[i].numbers.Lines() >= c.numbers.Lines() })
		before := at == 0 || c.numbers.Lines()-p.at[at-1].numbers.Lines() >= checkpointEvery
		after := at == len(p.at) || p.at[at].numbers.Lines()-c.numbers.Lines() >= checkpointEvery
		if before && after {
			p.at = slices.Insert(p.at, at, c)
			x.count++
		}
	}
}

// forget drops the checkpoints of a log that has left the stream.
func (x *index) forget(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(id)
}

// drop is forget for callers that hold mu.
func (x *index) drop(id string) {
	if p := x.byID[id]; p != nil {
		x.count -= len(p.at)
		delete(x.byID, id)
	}
}

// streamMade returns when the stream was created.
func (b *Reader) streamMade(ctx context.Context) (time.Time, error) {
	s, err := b.js.Stream(ctx, bus.LogsStream)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: open the logs: %w", build.ErrUnavailable, err)
	}
	return s.CachedInfo().Created, nil
}

// jump returns a checkpoint closer to the requested line if that is far ahead: one from the index,
// else one found by reading message headers only.
func (p *reading) jump(ctx context.Context, from Checkpoint) (Checkpoint, error) {
	if p.archived || p.From-from.numbers.Lines() < jumpLines {
		return from, nil
	}
	made, err := p.reader.streamMade(ctx)
	if err != nil {
		return from, err
	}
	if c := p.reader.index.near(p.BuildID, made, p.From); c != nil && c.seq > from.seq {
		from = *c
	}
	if p.From-from.numbers.Lines() < jumpLines {
		return from, nil
	}
	found, err := p.find(ctx, from)
	if err != nil || len(found) == 0 {
		return from, err
	}
	// The numbers would be wrong if lines had been deleted in the meantime.
	switch moved, err := p.moved(ctx); {
	case err != nil:
		return from, err
	case moved:
		return from, errMoved
	}
	p.reader.index.add(p.BuildID, made, found)
	return found[len(found)-1], nil
}

// nearEnd returns a checkpoint near the end of a log without an archive. It returns errMoved if the
// log has been archived since asked.
func (b *Reader) nearEnd(ctx context.Context, id string, asked time.Time) (Checkpoint, error) {
	p := &reading{reader: b, Request: Request{BuildID: id, From: end}, asked: asked}
	return p.jump(ctx, Checkpoint{numbers: logstream.NewNumbering(0, nil)})
}

// end is beyond every line number.
const end = 1 << 62

// find returns checkpoints up to the requested line.
func (p *reading) find(ctx context.Context, from Checkpoint) (found []Checkpoint, err error) {
	numbers, n := from.numbers.Clone(), checkpointRecorder{last: from.numbers.Lines()}
	err = logstream.Heads(ctx, p.reader.js, p.reader.authors, p.BuildID, from.seq, func(h logstream.Head) error {
		if numbers.Lines() >= p.From {
			return logarchive.ErrStop
		}
		n.record(h.Seq-1, numbers)
		numbers.Pass(h)
		return nil
	})
	if errors.Is(err, logarchive.ErrStop) {
		err = nil
	}
	return n.found, err
}

// checkpointRecorder collects checkpoints while reading.
type checkpointRecorder struct {
	last  int64
	found []Checkpoint
}

func (n *checkpointRecorder) record(seq uint64, numbers *logstream.Numbering) {
	if numbers.Lines()-n.last >= checkpointEvery {
		n.found, n.last = append(n.found, Checkpoint{seq: seq, numbers: numbers.Clone()}), numbers.Lines()
	}
}

// saveCheckpoints adds checkpoints to the index. It ignores errors, since the index only saves
// time.
func (p *reading) saveCheckpoints(ctx context.Context, n *checkpointRecorder) {
	if p.archived || len(n.found) == 0 {
		return
	}
	if made, err := p.reader.streamMade(ctx); err == nil {
		p.reader.index.add(p.BuildID, made, n.found)
	}
}
