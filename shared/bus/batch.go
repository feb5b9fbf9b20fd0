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

// Batch says when messages are handed on together: when there are Size of them or the first has waited for Wait. What has
// come by then goes with them, at most Most: whoever falls behind catches up in larger steps.
type Batch struct {
	Size, Most int
	Wait       time.Duration
}

// BatchHandler deals with messages in stream order. nil acknowledges them all; any error delivers them all again, so it must
// be harmless to see a message twice. A message that can never be handled is the handler's to leave out.
type BatchHandler func(ctx context.Context, msgs []jetstream.Msg) error

// ConsumeBatches is Consume for handlers that work better on many messages at once. c.Parallel is not read: there is one
// batch at a time.
func ConsumeBatches(ctx context.Context, js jetstream.JetStream, c Consumer, b Batch, h BatchHandler, log *slog.Logger) error {
	log = log.With("consumer", c.Durable)
	c.Parallel = b.Most // so much is under way, and as much again waits here
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
	// Drain and not Stop: what was fetched and not begun is handed back, not left to lie until AckWait is over.
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

// pour passes messages on until the iterator is drained (nil) or the consumer is gone (errGone).
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
			// A missed heartbeat or a lost connection: the iterator pulls again by itself.
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

// collect waits for Size messages or for Wait, then takes what is there.
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

// settleAll handles a batch and acknowledges it, or has it delivered again. After ctx has ended nothing more is begun.
func settleAll(ctx context.Context, all []jetstream.Msg, h BatchHandler, log *slog.Logger) {
	if ctx.Err() != nil {
		for _, m := range all {
			handBack(m, log)
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
