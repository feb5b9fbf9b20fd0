package logs

import (
	"context"
	"time"

	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
)

// Out is where a follower's lines go.
type Out interface {
	// Write sends what Encode made.
	Write(p []byte) error
	// Beat is a sign of life while nothing is said.
	Beat() error
	// Flush sends what was written.
	Flush() error
	// End is the last that is sent.
	End(last []byte) error
}

// Follow sends the log of a build to out, from the line from on (negative: so many before the end), until the build has ended
// and all of its log is sent. A line that the log does not have yet and will not have next is taken for one of another log,
// and it begins at the first.
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
	// placed: next is a line that the log has or will have next.
	placed bool
}

// view is what a follower sees of its feed at one moment.
type view struct {
	entries []*entry
	// behind: the next line is older than the ring, which begins at first. near is where to catch up from.
	behind  bool
	first   int64
	near    *Checkpoint
	ended   bool
	last    []byte
	err     error
	changed <-chan struct{}
}

func (f *follower) look() view {
	r := f.feed
	r.mu.Lock()
	defer r.mu.Unlock()
	v := view{first: r.ring.first(), ended: r.ended, last: r.last, err: r.err, changed: r.changed}
	if !f.place() {
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

// place finds the first line once; it is called with the feed's mu held, and says whether it is found.
func (f *follower) place() bool {
	r := f.feed
	known := r.caughtUp || r.ended || r.err != nil
	switch {
	case f.placed:
	case f.next < 0 && known:
		f.next, f.placed = max(r.ring.next+f.next, 1), true
	case f.next >= 0 && f.next <= r.ring.next && (known || r.ring.next > 1):
		f.next, f.placed = max(f.next, 1), true
	case f.next >= 0 && known:
		f.next, f.placed = 1, true
	}
	return f.placed
}

// step sends what there is, or waits.
func (f *follower) step(ctx context.Context) (done bool, err error) {
	v := f.look()
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

// catchUp reads a piece of what the ring has no more, and sends it when the bus is not needed any longer: a client that is slow
// to take it holds up nobody.
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
	if err == nil && len(piece) == 0 { // the lines are nowhere: those that follow must not wait for them
		f.next = v.first
	}
	return piece, err
}
