package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// asyncWindow bounds the publishes in flight. It is larger than Window, since these streams acknowledge before they sync.
	asyncWindow = 4096
	// asyncFlush bounds how long a stopping Async waits for what it has sent.
	asyncFlush = 5 * time.Second
	// reportEvery is how often losses are logged while there are some.
	reportEvery = 10 * time.Second
)

// Async publishes messages that may be lost (samples of telemetry) without blocking. Its queue is bounded: when the bus is slower than
// its callers, it drops messages and counts them. Make it with NewAsync and Run it; it is safe for
// concurrent use.
type Async struct {
	js   jetstream.JetStream
	in   chan *nats.Msg
	what string
	log  *slog.Logger

	shed, failed, sent atomic.Int64

	mu     sync.RWMutex
	closed bool
}

// NewAsync returns an Async with a queue of that size. what names the messages in the log.
func NewAsync(nc *nats.Conn, queue int, what string, log *slog.Logger) (*Async, error) {
	a := &Async{in: make(chan *nats.Msg, queue), what: what, log: log}
	js, err := jetstream.New(nc,
		jetstream.WithPublishAsyncMaxPending(asyncWindow),
		jetstream.WithPublishAsyncTimeout(5*time.Second),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) { a.failed.Add(1) }))
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	a.js = js
	return a, nil
}

// Offer queues a message. It returns false and counts the message as shed if the queue is full or Run has ended. It never blocks.
func (a *Async) Offer(m *nats.Msg) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if !a.closed {
		select {
		case a.in <- m:
			return true
		default:
		}
	}
	a.shed.Add(1)
	return false
}

// Shed returns how many messages Offer refused.
func (a *Async) Shed() int64 { return a.shed.Load() }

// Failed returns how many messages were sent and not acknowledged.
func (a *Async) Failed() int64 { return a.failed.Load() }

// Sent returns how many messages were sent, acknowledged or not.
func (a *Async) Sent() int64 { return a.sent.Load() }

// Run sends until ctx ends, and flushes the queue then.
func (a *Async) Run(ctx context.Context) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	var reported int64
	for {
		select {
		case m := <-a.in:
			a.send(ctx, m)
		case <-tick.C:
			reported = a.report(ctx, reported)
		case <-ctx.Done():
			a.finish(context.WithoutCancel(ctx))
			a.report(ctx, reported)
			return nil
		}
	}
}

// send waits while the window is full; the queue fills meanwhile.
func (a *Async) send(ctx context.Context, m *nats.Msg) {
	for {
		_, err := a.js.PublishMsgAsync(m)
		switch {
		case err == nil:
			a.sent.Add(1)
			return
		case errors.Is(err, jetstream.ErrTooManyStalledMsgs) && ctx.Err() == nil:
			continue
		}
		a.failed.Add(1)
		return
	}
}

// finish closes the queue, sends what is in it and waits for the acknowledgements.
func (a *Async) finish(ctx context.Context) {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, asyncFlush)
	defer cancel()
	for {
		select {
		case m := <-a.in:
			a.send(ctx, m)
			continue
		default:
		}
		break
	}
	select {
	case <-a.js.PublishAsyncComplete():
	case <-ctx.Done():
	}
}

func (a *Async) report(ctx context.Context, reported int64) int64 {
	lost := a.Shed() + a.Failed()
	if lost > reported {
		a.log.WarnContext(ctx, "messages dropped: the bus accepts fewer than arrive", "what", a.what, "lost", lost-reported, "shed_in_all", a.Shed(), "failed_in_all", a.Failed())
	}
	return lost
}
