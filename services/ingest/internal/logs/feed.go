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

// checkpointEvery is the number of lines between checkpoints.
const checkpointEvery = 2000

// feed reads one build's log for all its followers.
type feed struct {
	broadcaster *Broadcaster
	id          string
	ctx         context.Context // the life of the feed
	cancel      context.CancelFunc
	done        chan struct{}
	subscribers int // guarded by broadcaster.mu

	// Used by the feed's goroutine only.
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
	// caughtUp means that the feed has read what existed when it was opened. changed is closed and
	// replaced on every change.
	caughtUp bool
	changed  chan struct{}
}

func newFeed(h *Broadcaster, id string) *feed {
	r := &feed{broadcaster: h, id: id, ring: ring{next: 1}, changed: make(chan struct{}), done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// run reads until the build has ended, the last follower has left, or reading fails.
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

// notify wakes all followers. The caller holds mu.
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

// open starts behind the archive if there is one, else near the end of the stream: earlier lines
// would not fit into the ring.
func (r *feed) open() (err error) {
	resp := &artifactv1.LogResponse{}
	r.asked = time.Now()
	if r.final {
		if resp, err = r.broadcaster.reader.findArchive(r.ctx, r.id); err != nil {
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
		r.numbers = logstream.NewNumbering(1, nil) // the Reader has one line that says so
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

// restart empties the ring: followers read the archive from now on.
func (r *feed) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring.forget(r.numbers.Lines() + 1)
	r.checkpoints = nil
	r.notify()
}

// drain reads messages until no more are expected. moved reports that the log has been archived in
// the meantime.
func (r *feed) drain() (moved bool, err error) {
	for {
		if r.read >= r.tail.Pending() {
			r.markCaughtUp()
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
		r.add(c)
		if r.settled && c.Left == 0 {
			return false, nil
		}
	}
}

// markCaughtUp records that the feed has read what existed when it was opened.
func (r *feed) markCaughtUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.caughtUp {
		r.caughtUp = true
		r.notify()
	}
}

// wait returns the next message, or an empty one and sets settled if none arrived within settleTime
// after the build's end. While the log is quiet it checks the build: the message about its end may
// be lost with a stream.
func (r *feed) wait() (logstream.Chunk, error) {
	for {
		timeout := r.broadcaster.beat
		if r.final {
			timeout = min(settleTime, timeout)
		}
		c, err := r.tail.Next(r.ctx, timeout)
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

// moved reports whether the log has been archived since the last check.
func (r *feed) moved() (bool, error) {
	now := time.Now()
	if now.Sub(r.asked) < r.broadcaster.reader.archiveCheckInterval {
		return false, nil
	}
	resp, err := r.broadcaster.reader.findArchive(r.ctx, r.id)
	if err != nil {
		return false, fmt.Errorf("ask for the archived log of %s: %w", r.id, err)
	}
	r.asked = now
	return resp.GetObject().GetObjectId() != r.object, nil
}

func (r *feed) add(c logstream.Chunk) {
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

// end reads the final state of the build, once for all followers.
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

// near returns the last checkpoint before a line, nil if there is none.
func (r *feed) near(line int64) *Checkpoint {
	for i := len(r.checkpoints) - 1; i >= 0; i-- {
		if r.checkpoints[i].numbers.Lines() < line {
			return &r.checkpoints[i]
		}
	}
	return nil
}
