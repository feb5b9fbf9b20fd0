package logs

import (
	"context"
	"time"

	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
)

// Out is the connection to a follower.
type Out interface {
	// Write sends encoded lines.
	Write(p []byte) error
	// Beat sends a comment while the log is quiet.
	Beat() error
	// Flush sends buffered bytes.
	Flush() error
	// End sends the last message.
	End(last []byte) error
}

// Follow sends the log of a build to out, starting at line from (negative counts from the end),
// until the build has ended and its whole log is sent. If from is beyond the next line, it belongs
// to another log, and Follow starts at line 1.
func (h *Broadcaster) Follow(ctx context.Context, id string, from int64, out Out) error {
	r := h.subscribe(id)
	defer h.unsubscribe(r)
	beat := time.NewTicker(h.beat)
	defer beat.Stop()
	f := &follower{broadcaster: h, feed: r, next: from, out: out, beat: beat.C}
	for {
		done, err := f.step(ctx)
		if done || err != nil {
			return err
		}
	}
}

// follower is one client in a feed.
type follower struct {
	broadcaster *Broadcaster
	feed        *feed
	next        int64
	out         Out
	beat        <-chan time.Time
	// positioned means that next is a valid line: one that exists or the next one.
	positioned bool
}

// view is a snapshot of the feed for a follower.
type view struct {
	entries []*entry
	// behind means that the next line is older than the ring, which begins at first. near is the
	// checkpoint to catch up from.
	behind  bool
	first   int64
	near    *Checkpoint
	ended   bool
	last    []byte
	err     error
	changed <-chan struct{}
}

func (f *follower) snapshot() view {
	r := f.feed
	r.mu.Lock()
	defer r.mu.Unlock()
	v := view{first: r.ring.first(), ended: r.ended, last: r.last, err: r.err, changed: r.changed}
	if !f.position() {
		return v
	}
	switch {
	case f.next < v.first:
		v.behind, v.near = true, r.near(f.next)
	case f.next < r.ring.next:
		v.entries = r.ring.from(f.next, pieceBytes)
	}
	return v
}

// position determines the first line and reports whether it is known. The caller holds the feed's
// mu.
func (f *follower) position() bool {
	r := f.feed
	known := r.caughtUp || r.ended || r.err != nil
	switch {
	case f.positioned:
	case f.next < 0 && known:
		f.next, f.positioned = max(r.ring.next+f.next, 1), true
	case f.next >= 0 && f.next <= r.ring.next && (known || r.ring.next > 1):
		f.next, f.positioned = max(f.next, 1), true
	case f.next >= 0 && known:
		f.next, f.positioned = 1, true
	}
	return f.positioned
}

// step sends available lines, or waits for a change.
func (f *follower) step(ctx context.Context) (done bool, err error) {
	v := f.snapshot()
	switch {
	case len(v.entries) > 0:
		return false, f.send(v.entries)
	case v.behind:
		return false, f.catchUp(ctx, v)
	case v.err != nil:
		return false, v.err
	case v.ended:
		return true, f.out.End(v.last)
	}
	select {
	case <-v.changed:
		return false, nil
	case <-f.beat:
		return false, f.out.Beat()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (f *follower) send(entries []*entry) error {
	for _, e := range entries {
		if err := f.out.Write(e.encoded(f.next, f.broadcaster.encode)); err != nil {
			return err
		}
		f.next = e.last() + 1
	}
	return f.out.Flush()
}

// catchUp reads lines that the ring no longer has, and sends them after it has released its place:
// a slow client delays nobody.
func (f *follower) catchUp(ctx context.Context, v view) error {
	select {
	case f.broadcaster.catching <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	piece, err := f.piece(ctx, v)
	<-f.broadcaster.catching
	if err != nil {
		return err
	}
	if err := f.out.Write(piece); err != nil {
		return err
	}
	return f.out.Flush()
}

func (f *follower) piece(ctx context.Context, v view) (piece []byte, err error) {
	req := Request{BuildID: f.feed.id, From: f.next, To: v.first - 1, Ended: true, Near: v.near}
	_, err = f.broadcaster.reader.Read(ctx, req, func(lines []Line) error {
		for _, l := range lines {
			piece = f.broadcaster.encode(piece, l)
		}
		f.next = lines[len(lines)-1].Number + 1
		if len(piece) >= pieceBytes {
			return logarchive.ErrStop
		}
		return nil
	})
	if err == nil && len(piece) == 0 { // the lines do not exist: continue with the ring
		f.next = v.first
	}
	return piece, err
}
