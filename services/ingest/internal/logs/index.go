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
	// maxPlaces bounds what is remembered, of all logs together: 100,000,000 lines, some 20 MiB.
	maxPlaces = 50_000
	// jumpLines is how far ahead the line wanted must be for a look at where it is: reading so many is as quick.
	jumpLines = 2 * checkpointEvery
)

// index remembers what number the lines behind some places in the stream have, of logs that lie there. A log only grows, so what
// was true stays so; the stream's time of making tells of one that was made anew. It is safe for concurrent use.
type index struct {
	mu    sync.Mutex
	byID  map[string]*places
	count int
}

type places struct {
	made time.Time
	at   []Checkpoint // rising
}

// near is the last known place before a line; nil if there is none.
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

// add remembers places. Those that are close to one that is known already are not worth it.
func (x *index) add(id string, made time.Time, found []Checkpoint) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byID == nil || x.count+len(found) > maxPlaces { // forgetting costs a look at the heads each
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

// forget lets go of a log that has left the stream.
func (x *index) forget(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(id)
}

// drop is called with mu held.
func (x *index) drop(id string) {
	if p := x.byID[id]; p != nil {
		x.count -= len(p.at)
		delete(x.byID, id)
	}
}

// streamMade is when the stream was made that places are in.
func (b *Reader) streamMade(ctx context.Context) (time.Time, error) {
	s, err := b.js.Stream(ctx, bus.LogsStream)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: open the logs: %w", build.ErrUnavailable, err)
	}
	return s.CachedInfo().Created, nil
}

// jump goes on from a place that is nearer to the line wanted, if that is far ahead: a remembered one, else one that is found by
// the heads of the messages, without their text.
func (p *reading) jump(ctx context.Context, from Checkpoint) (Checkpoint, error) {
	if p.away || p.From-from.numbers.Lines() < jumpLines {
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
	// Had lines been deleted meanwhile that we did not see, the numbers would be wrong.
	switch moved, err := p.moved(ctx); {
	case err != nil:
		return from, err
	case moved:
		return from, errMoved
	}
	p.reader.index.add(p.BuildID, made, found)
	return found[len(found)-1], nil
}

// nearEnd is a place near the end of a log that has no archive, or had none when asked; errMoved says that it has one now.
func (b *Reader) nearEnd(ctx context.Context, id string, asked time.Time) (Checkpoint, error) {
	p := &reading{reader: b, Request: Request{BuildID: id, From: end}, asked: asked}
	return p.jump(ctx, Checkpoint{numbers: logstream.NewNumbering(0, nil)})
}

// end is behind every line.
const end = 1 << 62

// find gives places up to the line wanted.
func (p *reading) find(ctx context.Context, from Checkpoint) (found []Checkpoint, err error) {
	numbers, n := from.numbers.Clone(), noting{last: from.numbers.Lines()}
	err = logstream.Heads(ctx, p.reader.js, p.reader.authors, p.BuildID, from.seq, func(h logstream.Head) error {
		if numbers.Lines() >= p.From {
			return logarchive.ErrStop
		}
		n.note(h.Seq-1, numbers)
		numbers.Pass(h)
		return nil
	})
	if errors.Is(err, logarchive.ErrStop) {
		err = nil
	}
	return n.found, err
}

// noting remembers places that a reading comes by.
type noting struct {
	last  int64
	found []Checkpoint
}

func (n *noting) note(seq uint64, numbers *logstream.Numbering) {
	if numbers.Lines()-n.last >= checkpointEvery {
		n.found, n.last = append(n.found, Checkpoint{seq: seq, numbers: numbers.Clone()}), numbers.Lines()
	}
}

// keep puts them into the index. They save time only, so it does not matter if that cannot be.
func (p *reading) keep(ctx context.Context, n *noting) {
	if p.away || len(n.found) == 0 {
		return
	}
	if made, err := p.reader.streamMade(ctx); err == nil {
		p.reader.index.add(p.BuildID, made, n.found)
	}
}
