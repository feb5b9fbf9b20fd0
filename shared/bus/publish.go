package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Window is how many publishes are in flight at once. With synced streams a larger one stalls the server's stream
// (measured: 1,024 fails with "stalled with too many outstanding", 256 does not).
const Window = 256

// PublishError is that of a message that the bus did not take.
type PublishError struct {
	Subject string
	Err     error
}

func (e *PublishError) Error() string { return "publish " + e.Subject + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PublishError) Unwrap() error { return e.Err }

// PublishAll publishes in order and waits for every acknowledgement. done counts the leading messages that are durable;
// the rest may or may not be, and are de-duplicated by their ids when they are sent again.
func PublishAll(ctx context.Context, js jetstream.JetStream, msgs []Message) (done int, err error) {
	for len(msgs) > 0 {
		n, err := publishWindow(ctx, js, msgs[:min(Window, len(msgs))])
		done += n
		if err != nil {
			return done, err
		}
		msgs = msgs[n:]
	}
	return done, nil
}

func publishWindow(ctx context.Context, js jetstream.JetStream, msgs []Message) (done int, err error) {
	futures := make([]jetstream.PubAckFuture, 0, len(msgs))
	for _, m := range msgs {
		f, err := js.PublishMsgAsync(m.NATS())
		if err != nil {
			break // what was sent is awaited below; the rest is the caller's to send again
		}
		futures = append(futures, f)
	}
	for i, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return i, &PublishError{msgs[i].Subject, err}
		case <-ctx.Done():
			return i, &PublishError{msgs[i].Subject, context.Cause(ctx)}
		}
	}
	if len(futures) < len(msgs) {
		return len(futures), fmt.Errorf("publish %s: the bus takes no more", msgs[len(futures)].Subject)
	}
	return len(msgs), nil
}

// JetStream returns the JetStream context that our publishers use: bounded in flight, acknowledgements within 5 s.
func JetStream(nc *nats.Conn) (jetstream.JetStream, error) {
	js, err := jetstream.New(nc,
		jetstream.WithPublishAsyncMaxPending(Window),
		jetstream.WithPublishAsyncTimeout(5*time.Second),
		jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return js, nil
}
