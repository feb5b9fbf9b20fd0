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

	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// Publisher sends messages in order.
type Publisher interface {
	// Publish counts in done the leading ones that the far end has taken, also beside an error. A message that is sent again
	// has the same ID.
	Publish(ctx context.Context, msgs []Message) (done int, err error)
	// Sync returns when all that was taken is durable there; only then is it removed from the outbox.
	Sync(ctx context.Context) error
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

// Relay publishes what transactions emitted: in order, at least once, and removed only when durable at the far end. While one
// batch is made durable and removed, the next is on its way. On
// PostgreSQL one relay of a schema is active at a time and another takes over when it dies. A DB has one relay, run once.
type Relay struct {
	db  *DB
	to  Publisher
	log *slog.Logger

	flushes flushes
	// asked: a relay on standby in another process wants to hear that its messages are published.
	asked atomic.Bool
	// leaving is the batch whose removal is under way; nil: none.
	leaving *removal
}

// removal is of messages that are published and still in the outbox.
type removal struct {
	seqs []int64
	done chan struct{}
	err  error // after done
}

// NewRelay returns the relay of db's outbox.
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
			r.log.WarnContext(ctx, "outbox relay failed; restarting", "err", err)
			_ = backoff.Sleep(ctx, relayPoll/2+rand.N(relayPoll))
		}
	}
	return nil
}

// relay publishes batch after batch; it returns only when ctx ends or the database fails.
func (r *Relay) relay(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, r.removed()) }()
	retry, level := minRetry, slog.LevelWarn // the first failure of many in a row is told
	for ctx.Err() == nil {
		full, err := r.pass(ctx)
		var far *publishError
		switch {
		case errors.As(err, &far):
			if far.done > 0 {
				retry = minRetry
			}
			if ctx.Err() == nil { // else it is us who stop, not the bus
				r.log.Log(ctx, level, "publish events failed; they wait in the outbox", "err", far.cause)
				level = slog.LevelDebug
			}
			_ = backoff.Sleep(ctx, retry/2+rand.N(retry))
			retry = min(2*retry, maxRetry)
			continue
		case err != nil:
			return err
		}
		if level == slog.LevelDebug {
			r.log.InfoContext(ctx, "bus accepts events again")
		}
		retry, level = minRetry, slog.LevelWarn
		if !full {
			if err := r.waitForMore(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitForMore ends when there may be more to publish, or with the error of the removal under way.
func (r *Relay) waitForMore(ctx context.Context) error {
	t := time.NewTimer(relayPoll)
	defer t.Stop()
	var removed chan struct{}
	if r.leaving != nil {
		removed = r.leaving.done
	}
	select {
	case <-ctx.Done():
	case <-r.db.emits.woken:
	case <-t.C:
	case <-removed:
		return r.removed()
	}
	return nil
}

// remove begins to make a published batch durable and to remove it.
func (r *Relay) remove(ctx context.Context, seqs []int64) {
	leaving := &removal{seqs: seqs, done: make(chan struct{})}
	r.leaving = leaving
	go func() { // owned by leaving: removed waits for it
		defer close(leaving.done)
		ctx := context.WithoutCancel(ctx)
		if err := r.to.Sync(ctx); err != nil {
			leaving.err = fmt.Errorf("make durable what was published: %w", err)
			return
		}
		leaving.err = r.db.remove(ctx, seqs)
	}()
}

// removed waits until the removal under way has ended.
func (r *Relay) removed() error {
	if r.leaving == nil {
		return nil
	}
	<-r.leaving.done
	err := r.leaving.err
	r.leaving = nil
	return err
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
		err = r.removed() // they look into the outbox
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
	seqs, msgs, err := r.waiting(ctx)
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
	if done > 0 {
		if err := r.removed(); err != nil {
			return false, err
		}
		r.remove(ctx, seqs[:done])
	}
	return full, failed
}

// waiting returns the next batch: what is in the outbox and not about to leave it.
func (r *Relay) waiting(ctx context.Context) (seqs []int64, msgs []Message, err error) {
	if r.leaving == nil {
		return r.db.waitingMessages(ctx, relayBatch)
	}
	all, waiting, err := r.db.waitingMessages(ctx, relayBatch+len(r.leaving.seqs))
	if err != nil {
		return nil, nil, err
	}
	gone := make(map[int64]bool, len(r.leaving.seqs))
	for _, seq := range r.leaving.seqs {
		gone[seq] = true
	}
	for i, seq := range all {
		if !gone[seq] && len(seqs) < relayBatch {
			seqs, msgs = append(seqs, seq), append(msgs, waiting[i])
		}
	}
	return seqs, msgs, nil
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
