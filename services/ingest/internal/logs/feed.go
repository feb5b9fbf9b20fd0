package logs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// checkpointEvery is how many lines lie between two places that followers can catch up from.
const checkpointEvery = 2000

// feed reads one build's log for all who follow it.
type feed struct {
	broadcaster *Broadcaster
	id          string
	ctx         context.Context // the life of the feed
	cancel      context.CancelFunc
	done        chan struct{}
	subscribers int // guarded by broadcaster.mu

	// Of the feed's own goroutine.
	tail    *logstream.Tail
	numbers *logstream.Numbering
	asked   time.Time
	object  string
	through uint64
	read    uint64
	final   bool
	settled bool

	mu          sync.Mutex
	ring        ring
	checkpoints []Checkpoint
	ended       bool
	last        []byte
	err         error
	// caughtUp: what was there when the feed was opened is in; changed is closed and replaced with whatever happens.
	caughtUp bool
	changed  chan struct{}
}

func newFeed(h *Broadcaster, id string) *feed {
	r := &feed{broadcaster: h, id: id, ring: ring{next: 1}, changed: make(chan struct{}), done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// run reads until the build has ended, the last follower left, or the bus cannot be read.
func (r *feed) run() {
	defer close(r.done)
	defer r.cancel()
	err := r.follow()
	r.broadcaster.closed(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.err = err == nil, err
	r.notify()
}

// tell is called with mu held.
func (r *feed) notify() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *feed) follow() error {
	state, err := r.broadcaster.state(r.ctx, r.id)
	if err != nil {
		return err
	}
	r.final = state.Ended
	for {
		if err := r.open(); err != nil {
			return err
		}
		moved, err := r.drain()
		r.tail.Close(r.ctx)
		if err != nil {
			return err
		}
		if !moved {
			return r.end()
		}
		r.final = true
	}
}

// open begins behind the archive, if there is one, else near the end of what is in the stream: the rest would fall out of the ring.
func (r *feed) open() (err error) {
	resp := &artifactv1.LogResponse{}
	r.asked = time.Now()
	if r.final {
		if resp, err = r.broadcaster.reader.where(r.ctx, r.id); err != nil {
			return fmt.Errorf("ask for the archived log of %s: %w", r.id, err)
		}
	}
	r.object, r.through, r.numbers = resp.GetObject().GetObjectId(), resp.GetThroughSeq(), logstream.NewNumbering(0, nil)
	switch {
	case r.object != "":
		a, err := r.broadcaster.reader.archive(r.ctx, resp.GetObject())
		if err != nil {
			return fmt.Errorf("open the archived log of %s: %w", r.id, err)
		}
		r.numbers = logstream.NewNumbering(a.Lines(), a.Marks())
	case resp.GetRemovedAtMs() > 0:
		r.numbers = logstream.NewNumbering(1, nil) // the Reader says so in a line
	default:
		end, err := r.broadcaster.reader.nearEnd(r.ctx, r.id, r.asked)
		if errors.Is(err, errMoved) { // between two looks; the next one finds the archive
			r.final = true
			return r.open()
		}
		if err != nil {
			return err
		}
		r.numbers, r.through = end.numbers.Clone(), end.seq
	}
	r.settled = r.object != "" || resp.GetRemovedAtMs() > 0
	r.restart()
	r.tail, err = logstream.Open(r.ctx, r.broadcaster.reader.js, r.broadcaster.reader.authors, r.id, r.through)
	r.read = 0
	return err
}

// restart empties the ring: what is in the archive is read there.
func (r *feed) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring.forget(r.numbers.Lines() + 1)
	r.checkpoints = nil
	r.notify()
}

// drain takes messages until nothing more is to be expected; moved says that an archive has come to be.
func (r *feed) drain() (moved bool, err error) {
	for {
		if r.read >= r.tail.Pending() {
			r.arrived()
			if r.settled {
				return false, nil
			}
		}
		c, err := r.wait()
		if err != nil || r.settled && c.LogChunk == nil {
			return false, err
		}
		r.read++
		if moved, err := r.moved(); moved || err != nil {
			return moved, err
		}
		r.take(c)
		if r.settled && c.Left == 0 {
			return false, nil
		}
	}
}

// arrived says that the feed has all that was there.
func (r *feed) arrived() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.caughtUp {
		r.caughtUp = true
		r.notify()
	}
}

// wait returns the next message; none, and settled, if nothing came for as long as a build's last lines may take. While it is
// quiet the build is asked about: the message that says that it has ended may have been lost with a stream.
func (r *feed) wait() (logstream.Chunk, error) {
	for {
		patience := r.broadcaster.beat
		if r.final {
			patience = min(settleTime, patience)
		}
		c, err := r.tail.Next(r.ctx, patience)
		if !bus.Quiet(r.ctx, err) {
			return c, err
		}
		if r.final {
			r.settled = true
			return logstream.Chunk{}, nil
		}
		if s, err := r.broadcaster.state(r.ctx, r.id); err == nil {
			r.final = s.Ended
		}
	}
}

// moved is as in a reading.
func (r *feed) moved() (bool, error) {
	now := time.Now()
	if now.Sub(r.asked) < r.broadcaster.reader.trust {
		return false, nil
	}
	resp, err := r.broadcaster.reader.where(r.ctx, r.id)
	if err != nil {
		return false, fmt.Errorf("ask for the archived log of %s: %w", r.id, err)
	}
	r.asked = now
	return resp.GetObject().GetObjectId() != r.object, nil
}

func (r *feed) take(c logstream.Chunk) {
	limit := r.broadcaster.ringLimit()
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.checkpoints); n == 0 && r.numbers.Lines() > 0 || n > 0 && r.numbers.Lines()-r.checkpoints[n-1].numbers.Lines() >= checkpointEvery {
		r.checkpoints = append(r.checkpoints, Checkpoint{seq: c.Seq - 1, numbers: r.numbers.Clone()})
	}
	if lines := r.numbers.Add(c); len(lines) > 0 {
		r.ring.add(lines, limit)
		r.notify()
	}
	r.settled = r.settled || c.GetLast()
}

// end asks for what the build has become, for all followers at once.
func (r *feed) end() error {
	s, err := r.broadcaster.state(r.ctx, r.id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = s.Last
	return nil
}

// near is the last checkpoint before a line; nil if there is none.
func (r *feed) near(line int64) *Checkpoint {
	for i := len(r.checkpoints) - 1; i >= 0; i-- {
		if r.checkpoints[i].numbers.Lines() < line {
			return &r.checkpoints[i]
		}
	}
	return nil
}
