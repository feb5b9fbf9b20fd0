package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Publisher sends messages in order. done counts the leading ones that are durable at the far end, also beside an error.
// A message that is sent again has the same ID.
type Publisher interface {
	Publish(ctx context.Context, msgs []Message) (done int, err error)
}

const (
	relayBatch = 500
	// relayPoll is the safety net under the signals that tell of a commit.
	relayPoll = time.Second
	// publishTimeout bounds one batch; it is sent again after that.
	publishTimeout = 30 * time.Second
	minRetry       = 50 * time.Millisecond
	maxRetry       = 5 * time.Second
)

// Relay publishes what transactions emitted: in order, at least once, and removed only when durable at the far end. On
// PostgreSQL one relay of a schema is active at a time and another takes over when it dies. A DB has one relay, run once.
type Relay struct {
	db  *DB
	to  Publisher
	log *slog.Logger

	flushes flushes
	// asked: a relay on standby in another process wants to hear that its messages are published.
	asked atomic.Bool
}

// NewRelay gives the relay of db's outbox.
func NewRelay(db *DB, to Publisher, log *slog.Logger) *Relay {
	return &Relay{db: db, to: to, log: log}
}

// Run publishes until ctx ends; it returns nil then.
func (r *Relay) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		term := r.relay
		if r.db.dialect == PostgreSQL {
			term = r.term
		}
		if err := term(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "outbox relay starts again", "err", err)
			wait(ctx, relayPoll/2+rand.N(relayPoll))
		}
	}
	return nil
}

// relay publishes batch after batch; it returns only when ctx ends or the database fails.
func (r *Relay) relay(ctx context.Context) error {
	retry := minRetry
	for ctx.Err() == nil {
		full, err := r.pass(ctx)
		var far *publishError
		switch {
		case errors.As(err, &far):
			if far.done > 0 {
				retry = minRetry
			}
			if ctx.Err() == nil { // else it is us who stop, not the bus
				r.log.WarnContext(ctx, "events wait in the outbox: the bus does not take them", "err", far.cause)
			}
			wait(ctx, retry/2+rand.N(retry))
			retry = min(2*retry, maxRetry)
			continue
		case err != nil:
			return err
		}
		retry = minRetry
		if !full {
			r.waitForMore(ctx)
		}
	}
	return nil
}

func (r *Relay) waitForMore(ctx context.Context) {
	t := time.NewTimer(relayPoll)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-r.db.emits.woken:
	case <-t.C:
	}
}

// pass publishes a batch and, once nothing is left, answers the relays on standby that asked.
func (r *Relay) pass(ctx context.Context) (full bool, err error) {
	asked := r.asked.Swap(false)
	full, err = r.batch(ctx)
	switch {
	case !asked:
	case full || err != nil:
		r.asked.Store(true)
	default:
		r.tell(ctx, published)
	}
	return full, err
}

// publishError is the far end's, as against the database's.
type publishError struct {
	done  int
	cause error
}

func (e *publishError) Error() string { return e.cause.Error() }
func (e *publishError) Unwrap() error { return e.cause }

// batch publishes and removes up to relayBatch messages, and says whether there may be more.
func (r *Relay) batch(ctx context.Context) (full bool, err error) {
	reached := r.db.emits.mark() // before the look: what is committed by now, the look sees
	seqs, msgs, err := r.db.waitingMessages(ctx)
	if err != nil {
		return false, err
	}
	full = len(msgs) == relayBatch
	done, failed := r.publish(ctx, msgs)
	if failed == nil {
		reached.seq = math.MaxInt64
		if full {
			reached.seq = seqs[len(seqs)-1]
		}
		r.flushes.settle(reached) // before the removal: nobody who flushes need wait for that
	}
	if err := r.db.remove(ctx, seqs[:done]); err != nil {
		return false, err
	}
	return full, failed
}

func (r *Relay) publish(ctx context.Context, msgs []Message) (done int, err error) {
	if len(msgs) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	done, err = r.to.Publish(ctx, msgs)
	done = min(max(done, 0), len(msgs))
	if err == nil && done < len(msgs) {
		err = fmt.Errorf("%d of %d messages taken", done, len(msgs))
	}
	if err != nil {
		return done, &publishError{done: done, cause: err}
	}
	return done, nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
