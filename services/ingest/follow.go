package ingest

import (
	"context"
	"errors"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// settleTime is how long a follower waits for the last lines of a build that has ended: they follow its end through the
// scheduler's outbox.
const settleTime = 3 * time.Second

// followLog sends the log live from Last-Event-ID on, and "end" with the build when it has ended and all is sent.
func (g *Ingest) followLog(w http.ResponseWriter, r *http.Request, b *schedulerv1.Build) {
	leave, err := g.admitFollower()
	if err != nil {
		g.fail(w, r, v2, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.stopping, cancel)()
	f := &follower{g: g, build: b, ended: build.State(b.GetState()).Final()}
	if err := f.open(ctx, parsePosition(r.Header.Get("Last-Event-ID"))); err != nil {
		g.fail(w, r, v2, err)
		return
	}
	defer f.tail.close(ctx)
	f.out = openSSE(w)
	defer f.out.close()
	if err := f.run(ctx); err != nil && ctx.Err() == nil {
		g.log.InfoContext(ctx, "log not followed to its end", "build_id", b.GetId(), "err", err)
		panic(http.ErrAbortHandler) // the client resumes where it was cut
	}
}

// follower is one client that follows one log.
type follower struct {
	g     *Ingest
	out   *sse
	tail  *tail
	from  position
	build *schedulerv1.Build
	// ended: the build is final. settled: nothing more is to be expected of its log.
	ended, settled bool
}

// open goes back to the message that the client may have had in part.
func (f *follower) open(ctx context.Context, from position) (err error) {
	if from.seq > 0 {
		last, err := f.g.lastLogSeq(ctx)
		if err != nil {
			return err
		}
		if from.seq > last { // the stream was made anew since: what the client has seen is not in it
			from = position{}
		}
	}
	f.from = from
	f.tail, err = f.g.openLog(ctx, f.build.GetId(), max(from.seq, 1)-1)
	return err
}

func (f *follower) run(ctx context.Context) error {
	if err := f.out.comment("following"); err != nil {
		return err
	}
	for read := uint64(0); ; read++ {
		if read >= f.tail.pending {
			if err := f.out.flush(); err != nil {
				return err
			}
			if f.settled {
				return f.end(ctx)
			}
		}
		c, err := f.wait(ctx)
		if err != nil {
			return err
		}
		if err := f.send(c); err != nil {
			return err
		}
		if f.settled && c.left == 0 {
			return f.end(ctx)
		}
	}
}

// wait gives the next message. While there is none it keeps the line alive, and asks whether the build has ended: the
// message that says so may have been lost with a stream.
func (f *follower) wait(ctx context.Context) (chunk, error) {
	for {
		c, err := f.tail.nextWithin(ctx, f.patience())
		if !quiet(ctx, err) {
			return c, err
		}
		if f.ended { // and nothing came for as long as its last lines may take
			f.settled = true
			return chunk{}, nil
		}
		if err := errors.Join(f.out.comment("still here"), f.out.flush()); err != nil {
			return c, err
		}
		if resp, err := f.g.getBuild(ctx, f.build.GetId()); err == nil {
			f.ended = build.State(resp.GetBuild().GetState()).Final()
		}
	}
}

func (f *follower) patience() time.Duration {
	if f.ended {
		return min(settleTime, f.g.cfg.FollowBeat)
	}
	return f.g.cfg.FollowBeat
}

func (f *follower) send(c chunk) error {
	for i, l := range c.GetLines() {
		p := position{c.seq, i}
		if p.seq == f.from.seq && p.line <= f.from.line {
			continue
		}
		if err := f.out.event("log", p.String(), logLineV2(c, l)); err != nil {
			return err
		}
	}
	f.settled = f.settled || c.GetLast()
	return nil
}

func (f *follower) end(ctx context.Context) error {
	resp, err := f.g.getBuild(ctx, f.build.GetId())
	if err != nil {
		return err
	}
	return errors.Join(f.out.event("end", "", viewV2(resp.GetBuild(), resp.GetAttempts())), f.out.flush())
}
