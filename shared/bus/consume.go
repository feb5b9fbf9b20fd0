package bus

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// ErrDrop makes Consume drop a message that no redelivery can fix.
var ErrDrop = errors.New("drop the message")

// Consumer declares a durable pull consumer.
type Consumer struct {
	Stream  string
	Durable string
	Filters []string
	// Parallel is how many messages are handled at once, at least 1. With 1 they are handled in stream order.
	Parallel int
	// Key groups messages by their subject: this process handles those with the same key one after the other, in the order of arrival.
	// A redelivered message comes after those that overtook it, and replicas share messages whatever their keys. nil: no groups.
	Key func(subject string) string
	// AckWait is how long a handler may take; 0 means 30 s.
	AckWait time.Duration
	// FromNow skips what the stream held before the consumer was first made.
	FromNow bool
}

// Handler handles one message. nil acknowledges it, ErrDrop drops it, any other error has it redelivered. A message may arrive twice.
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

// errGone means that the consumer no longer exists: its stream was deleted, or lost with the memory of the server.
var errGone = errors.New("consumer is gone")

// Consume creates the consumer if it does not exist and calls the handler until ctx ends. It returns nil then, after the running handlers
// have returned. While the bus is unavailable it waits; it creates the consumer again if that was lost (a stream in memory does not survive
// a restart). It returns an error only if it cannot create the consumer at first.
func Consume(ctx context.Context, js jetstream.JetStream, c Consumer, h Handler, log *slog.Logger) error {
	log = log.With("consumer", c.Durable)
	cons, err := js.CreateOrUpdateConsumer(ctx, c.Stream, c.config())
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w", c.Durable, c.Stream, err)
	}
	for {
		if err := iterate(ctx, cons, c, h, log); !errors.Is(err, errGone) {
			return err
		}
		log.WarnContext(ctx, "consumer is gone and will be made again")
		if cons = remake(ctx, js, c); cons == nil {
			return nil
		}
	}
}

// remake tries until it works; nil if ctx ends first. It waits first: the server announces the deletion of a consumer before it has
// finished, and a consumer of the same name that is created at that moment exists and is never served (nats-server 2.15.2).
func remake(ctx context.Context, js jetstream.JetStream, c Consumer) jetstream.Consumer {
	for {
		if backoff.Sleep(ctx, remakePause) != nil {
			return nil
		}
		if cons, err := js.CreateOrUpdateConsumer(ctx, c.Stream, c.config()); err == nil {
			return cons
		}
	}
}

const remakePause = 250 * time.Millisecond

// iterate consumes until ctx ends (nil) or the consumer was deleted (errGone).
func iterate(ctx context.Context, cons jetstream.Consumer, c Consumer, h Handler, log *slog.Logger) error {
	n := max(1, c.Parallel)
	it, err := cons.Messages(jetstream.PullMaxMessages(n), jetstream.PullHeartbeat(500*time.Millisecond),
		jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return fmt.Errorf("consume %s: %w", cons.CachedInfo().Name, err)
	}
	defer it.Stop()
	// Drain instead of Stop: messages that were fetched and not begun are returned at once, not after AckWait.
	defer context.AfterFunc(ctx, it.Drain)()
	handle := func(m jetstream.Msg) { settle(m, guard(WithTrace(ctx, m.Headers()), m, h), log) }
	if c.Key != nil {
		return feed(ctx, cons, it, newLanes(n, c.Key, handle), log)
	}
	return feed(ctx, cons, it, newPool(n, handle), log)
}

// crew handles messages. offer waits until it can accept one, and returns false if ctx ends first; wait returns when all accepted ones are
// handled.
type crew interface {
	offer(ctx context.Context, m jetstream.Msg) bool
	wait()
}

// pool bounds the messages that are handled at once by the capacity of gate.
type pool struct {
	gate    chan struct{}
	handle  func(jetstream.Msg)
	running sync.WaitGroup
}

func newPool(n int, handle func(jetstream.Msg)) *pool {
	return &pool{gate: make(chan struct{}, n), handle: handle}
}

func (p *pool) offer(ctx context.Context, m jetstream.Msg) bool {
	select {
	case p.gate <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	p.running.Go(func() {
		defer func() { <-p.gate }()
		p.handle(m)
	})
	return true
}

func (p *pool) wait() { p.running.Wait() }

// lanes are handlers, each of which handles the messages of some keys, in order.
type lanes struct {
	key     func(subject string) string
	seed    maphash.Seed
	each    []chan jetstream.Msg
	running sync.WaitGroup
}

func newLanes(n int, key func(string) string, handle func(jetstream.Msg)) *lanes {
	l := &lanes{key: key, seed: maphash.MakeSeed(), each: make([]chan jetstream.Msg, n)}
	for i := range l.each {
		lane := make(chan jetstream.Msg)
		l.each[i] = lane
		l.running.Go(func() {
			for m := range lane {
				handle(m)
			}
		})
	}
	return l
}

func (l *lanes) offer(ctx context.Context, m jetstream.Msg) bool {
	lane := l.each[maphash.String(l.seed, l.key(m.Subject()))%uint64(len(l.each))]
	select {
	case lane <- m:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *lanes) wait() {
	for _, lane := range l.each {
		close(lane)
	}
	l.running.Wait()
}

// feed offers messages to the crew, and waits for it at the end.
func feed(ctx context.Context, cons jetstream.Consumer, it jetstream.MessagesContext, crew crew, log *slog.Logger) error {
	defer crew.wait()
	for {
		m, err := it.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			if ctx.Err() == nil { // not drained by us: somebody deleted the consumer
				return errGone
			}
			return nil
		case err != nil:
			// A missed heartbeat or a lost connection: the iterator pulls again.
			if gone(ctx, cons) {
				return errGone
			}
			if backoff.Sleep(ctx, 100*time.Millisecond) != nil {
				return nil
			}
			continue
		}
		if ctx.Err() != nil || !crew.offer(ctx, m) {
			nak(m, log)
		}
	}
}

// gone asks the server whether it knows the consumer. No answer is no proof.
func gone(ctx context.Context, cons jetstream.Consumer) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := cons.Info(ctx)
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// nak returns a message to the server for another consumer.
func nak(m jetstream.Msg, log *slog.Logger) {
	if err := m.Nak(); err != nil {
		log.Warn("negative acknowledgement failed", "subject", m.Subject(), "err", err)
	}
}

// guard turns a panic of the handler into an error: a message that breaks a handler must not crash the process at each redelivery.
func guard(ctx context.Context, m jetstream.Msg, h Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h(ctx, m)
}

// settle turns a handler's result into the acknowledgement.
func settle(m jetstream.Msg, result error, log *slog.Logger) {
	var err error
	switch {
	case result == nil:
		err = m.Ack()
	case errors.Is(result, ErrDrop):
		log.Error("message dropped", "subject", m.Subject(), "err", result)
		err = m.TermWithReason("dropped by the handler")
	default:
		log.Warn("handle message failed; it is redelivered", "subject", m.Subject(), "err", result)
		err = m.NakWithDelay(redeliveryDelay(m))
	}
	if err != nil {
		log.Warn("acknowledge message failed", "subject", m.Subject(), "err", err)
	}
}

// redeliveryDelay doubles from 100 ms to 10 s with the number of deliveries.
func redeliveryDelay(m jetstream.Msg) time.Duration {
	d := 100 * time.Millisecond
	if md, err := m.Metadata(); err == nil {
		d <<= min(md.NumDelivered, 7)
	}
	return min(d, 10*time.Second)
}

// consumeRetry is short beside any heartbeat timeout.
const consumeRetry = 500 * time.Millisecond

// ConsumeLoop runs consume, which calls Consume or ConsumeBatches, until it returns nil or ctx ends. After an error it waits and runs
// it again: services start in any order, and the scheduler makes the streams.
func ConsumeLoop(ctx context.Context, log *slog.Logger, consume func() error) error {
	for {
		err := consume()
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // the stop is not a failure
		}
		log.WarnContext(ctx, "consume stream failed", "err", err)
		_ = backoff.Sleep(ctx, consumeRetry)
	}
}
