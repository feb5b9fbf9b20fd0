package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// Batch bounds batches: one is handled when it has Size messages, or when its first has waited for Wait. Messages that have arrived by then
// join it, up to Most, so that a consumer that has fallen behind catches up in larger steps.
type Batch struct {
	Size, Most int
	Wait       time.Duration
}

// BatchHandler handles messages in stream order. nil acknowledges all of them; an error has all of them redelivered, so it must be harmless
// to see a message twice. The handler skips a message that it can never handle.
type BatchHandler func(ctx context.Context, msgs []jetstream.Msg) error

// ConsumeBatches is Consume for handlers that work better on many messages at once. It handles one batch at a time and ignores c.Parallel.
func ConsumeBatches(ctx context.Context, js jetstream.JetStream, c Consumer, b Batch, h BatchHandler, log *slog.Logger) error {
	log = log.With("consumer", c.Durable)
	c.Parallel = b.Most // as many are in flight, and as many wait here
	cons, err := js.CreateOrUpdateConsumer(ctx, c.Stream, c.config())
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w", c.Durable, c.Stream, err)
	}
	for {
		if err := iterateBatches(ctx, cons, b, h, log); !errors.Is(err, errGone) {
			return err
		}
		log.WarnContext(ctx, "consumer is gone and will be made again")
		if cons = remake(ctx, js, c); cons == nil {
			return nil
		}
	}
}

func iterateBatches(ctx context.Context, cons jetstream.Consumer, b Batch, h BatchHandler, log *slog.Logger) error {
	it, err := cons.Messages(jetstream.PullMaxMessages(b.Most), jetstream.PullHeartbeat(500*time.Millisecond),
		jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return fmt.Errorf("consume %s: %w", cons.CachedInfo().Name, err)
	}
	defer it.Stop()
	// Drain instead of Stop: messages that were fetched and not begun are returned at once, not after AckWait.
	defer context.AfterFunc(ctx, it.Drain)()
	msgs := make(chan jetstream.Msg, b.Most)
	var pump sync.WaitGroup
	defer pump.Wait()
	var ended error
	pump.Go(func() {
		defer close(msgs)
		ended = pour(ctx, cons, it, msgs)
	})
	for first := range msgs {
		all := b.collect(first, msgs)
		settleAll(ctx, all, h, log)
	}
	return ended // written before the channel was closed
}

// pour passes messages on until the iterator is drained (nil) or the consumer was deleted (errGone).
func pour(ctx context.Context, cons jetstream.Consumer, it jetstream.MessagesContext, msgs chan<- jetstream.Msg) error {
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
				return nil //nolint:nilerr // we stop
			}
			continue
		}
		msgs <- m // its reader reads until we close
	}
}

// collect waits for Size messages or for Wait, then adds what has arrived.
func (b Batch) collect(first jetstream.Msg, msgs <-chan jetstream.Msg) []jetstream.Msg {
	all := append(make([]jetstream.Msg, 0, b.Size), first)
	t := time.NewTimer(b.Wait)
	defer t.Stop()
	for len(all) < b.Size {
		select {
		case m, ok := <-msgs:
			if !ok {
				return all
			}
			all = append(all, m)
		case <-t.C:
			return all
		}
	}
	for len(all) < b.Most {
		select {
		case m, ok := <-msgs:
			if !ok {
				return all
			}
			all = append(all, m)
		default:
			return all
		}
	}
	return all
}

// settleAll handles a batch and acknowledges it, or has it redelivered. It begins nothing after ctx has ended.
func settleAll(ctx context.Context, all []jetstream.Msg, h BatchHandler, log *slog.Logger) {
	if ctx.Err() != nil {
		for _, m := range all {
			nak(m, log)
		}
		return
	}
	result := guardAll(ctx, all, h)
	if result != nil {
		log.WarnContext(ctx, "handle messages failed; they are redelivered", "messages", len(all), "err", result)
	}
	var fault error
	for _, m := range all {
		var err error
		if result == nil {
			err = m.Ack()
		} else {
			err = m.NakWithDelay(redeliveryDelay(m))
		}
		fault = errors.Join(fault, err)
	}
	if fault != nil {
		log.WarnContext(ctx, "acknowledge messages failed", "messages", len(all), "err", fault)
	}
}

func guardAll(ctx context.Context, all []jetstream.Msg, h BatchHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h(ctx, all)
}
