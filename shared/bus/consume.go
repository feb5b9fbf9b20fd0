package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrDrop makes Consume drop a message for good: it is wrong in a way that no repeat can mend.
var ErrDrop = errors.New("drop the message")

// RetryAfter makes Consume deliver the message again after d.
type RetryAfter struct {
	D   time.Duration
	Err error
}

func (r RetryAfter) Error() string { return fmt.Sprintf("retry after %s: %v", r.D, r.Err) }

// Unwrap gives the cause.
func (r RetryAfter) Unwrap() error { return r.Err }

// Consumer declares a durable pull consumer of ours.
type Consumer struct {
	Stream  string
	Durable string
	Filters []string
	// Parallel is how many messages are handled at once, at least 1. With 1 they are handled in stream order.
	Parallel int
	// AckWait is the time a handler has; 0 means 30 s.
	AckWait time.Duration
	// FromNow skips what the stream held before the consumer was first made.
	FromNow bool
}

// Handler deals with one message. nil acknowledges it, ErrDrop drops it, RetryAfter and any other error deliver it again:
// it must be harmless to see a message twice.
type Handler func(ctx context.Context, m jetstream.Msg) error

func (c Consumer) config() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable: c.Durable, FilterSubjects: c.Filters, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: c.AckWait, MaxAckPending: max(256, 4*c.Parallel),
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 30 * time.Second
	}
	if c.Parallel <= 1 {
		cfg.MaxAckPending = 1
	}
	if c.FromNow {
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	return cfg
}

// Consume makes the consumer if need be and feeds the handler until ctx ends; it returns nil then, after the handlers
// under way have returned. While the bus is away it waits. It returns an error only if the consumer cannot be made.
func Consume(ctx context.Context, js jetstream.JetStream, c Consumer, h Handler, log *slog.Logger) error {
	cons, err := js.CreateOrUpdateConsumer(ctx, c.Stream, c.config())
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w", c.Durable, c.Stream, err)
	}
	log = log.With("consumer", c.Durable)
	it, err := cons.Messages(jetstream.PullMaxMessages(max(1, c.Parallel)), jetstream.PullHeartbeat(500*time.Millisecond),
		jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return fmt.Errorf("consume %s: %w", c.Durable, err)
	}
	stopped := context.AfterFunc(ctx, it.Stop)
	defer stopped()
	defer it.Stop()
	return feed(ctx, it, max(1, c.Parallel), h, log)
}

// feed hands messages to at most n handlers at once and waits for them in the end.
func feed(ctx context.Context, it jetstream.MessagesContext, n int, h Handler, log *slog.Logger) error {
	gate := make(chan struct{}, n)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		m, err := it.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return nil
		case err != nil:
			// A missed heartbeat or a lost connection: the iterator pulls again by itself.
			if !waitOrDone(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		gate <- struct{}{}
		running.Go(func() {
			defer func() { <-gate }()
			settle(m, h(WithTrace(ctx, m.Headers()), m), log)
		})
	}
}

// settle turns a handler's result into the acknowledgement.
func settle(m jetstream.Msg, result error, log *slog.Logger) {
	var err error
	var again RetryAfter
	switch {
	case result == nil:
		err = m.Ack()
	case errors.Is(result, ErrDrop):
		log.Error("message dropped", "subject", m.Subject(), "err", result)
		err = m.TermWithReason("dropped by the handler")
	case errors.As(result, &again):
		err = m.NakWithDelay(again.D)
	default:
		log.Warn("message will be delivered again", "subject", m.Subject(), "err", result)
		err = m.NakWithDelay(backoff(m))
	}
	if err != nil {
		log.Warn("acknowledgement not sent", "subject", m.Subject(), "err", err)
	}
}

// backoff doubles from 100 ms to 10 s with the number of deliveries.
func backoff(m jetstream.Msg) time.Duration {
	d := 100 * time.Millisecond
	if md, err := m.Metadata(); err == nil {
		d <<= min(md.NumDelivered, 7)
	}
	return min(d, 10*time.Second)
}

// waitOrDone waits for d and says whether ctx is still alive.
func waitOrDone(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
