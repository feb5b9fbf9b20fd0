package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Tail reads a subject of a stream in order, what is there and what comes. It belongs to one goroutine.
type Tail struct {
	js      jetstream.JetStream
	stream  string
	cons    jetstream.Consumer
	it      jetstream.MessagesContext
	unwatch func() bool
	// pending is how many messages were there when it was opened, and first is the first of them, if it has come already.
	pending uint64
	first   jetstream.Msg
}

const (
	// tailBuffer and tailBytes bound what waits for a slow reader.
	tailBuffer = 64
	tailBytes  = 4 << 20
	// tailIdle is when the bus forgets a reader whose process died.
	tailIdle = 30 * time.Second
	// tailHeartbeat is how often the bus says that a pull is alive; after two missed ones the reader is set up anew. tailExpiry
	// is how long a pull lasts.
	tailHeartbeat = time.Second
	tailExpiry    = 10 * time.Second
	// headsBuffer is tailBuffer where only headers come.
	headsBuffer = 1024
	// firstWait is how long the first message may take before the pull counts as lost, doubled each time until lastWait.
	firstWait = 150 * time.Millisecond
	lastWait  = 2 * time.Second
	// tailResets is how often a reader is set up anew after the bus lost it; then Next fails.
	tailResets = 3
)

// TailConfig says what a Tail reads. From is the place for jetstream.DeliverByStartSequencePolicy.
type TailConfig struct {
	Stream, Subject string
	Policy          jetstream.DeliverPolicy
	From            uint64
	// HeadersOnly leaves the messages' bodies where they are.
	HeadersOnly bool
}

// OpenTail reads from the policy's place. Reading ends with ctx. What cannot be read is build.ErrUnavailable.
//
// In a cluster the word that a new consumer listens comes to our node by another route than the answer that it was made, and
// a pull that is quicker gets lost: 1 in 20, measured with nats-server 2.15.2. Where messages are known to be there, the first
// one is therefore waited for, and if it does not come, another consumer is made.
func OpenTail(ctx context.Context, js jetstream.JetStream, cfg TailConfig) (*Tail, error) {
	for wait := firstWait; ; wait *= 2 {
		t, err := openTailOnce(ctx, js, cfg)
		if err != nil || t.pending == 0 || wait > lastWait {
			return t, err
		}
		t.first, err = t.Next(ctx, wait)
		switch {
		case err == nil:
			return t, nil
		case !Quiet(ctx, err):
			t.Close(ctx)
			return nil, err
		}
		t.Close(ctx)
	}
}

func openTailOnce(ctx context.Context, js jetstream.JetStream, cfg TailConfig) (*Tail, error) {
	cons, err := js.OrderedConsumer(ctx, cfg.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{cfg.Subject}, InactiveThreshold: tailIdle, MaxResetAttempts: tailResets,
		DeliverPolicy: cfg.Policy, OptStartSeq: cfg.From, HeadersOnly: cfg.HeadersOnly,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: open %s: %w", build.ErrUnavailable, cfg.Stream, err)
	}
	t := &Tail{js: js, stream: cfg.Stream, cons: cons, pending: cons.CachedInfo().NumPending}
	// A question to the consumer lets that word overtake, most of the time. Should a pull get lost later, missed heartbeats tell.
	if _, err := cons.Info(ctx); err != nil {
		return nil, fmt.Errorf("%w: open %s: %w", build.ErrUnavailable, cfg.Stream, err)
	}
	buffer := tailBuffer
	if cfg.HeadersOnly {
		buffer = headsBuffer
	}
	t.it, err = cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(buffer, tailBytes), jetstream.PullHeartbeat(tailHeartbeat),
		jetstream.PullExpiry(tailExpiry))
	if err != nil {
		return nil, fmt.Errorf("%w: open %s: %w", build.ErrUnavailable, cfg.Stream, err)
	}
	// A reader that is being set up anew while the bus is away does not look at its context.
	t.unwatch = context.AfterFunc(ctx, t.it.Stop)
	return t, nil
}

// Pending is how many messages were there when it was opened.
func (t *Tail) Pending() uint64 { return t.pending }

// closeTimeout bounds the goodbye to the bus, which would otherwise find out by tailIdle.
const closeTimeout = 2 * time.Second

// Close takes leave of the bus; ctx may have ended.
func (t *Tail) Close(ctx context.Context) {
	t.unwatch()
	t.it.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	// If this is lost, the consumer ends by its inactivity.
	_ = t.js.DeleteConsumer(ctx, t.stream, t.cons.CachedInfo().Name)
}

// Next waits so long for the next message. An error that is Quiet leaves the reader as it was; after another one it is of no
// use.
func (t *Tail) Next(ctx context.Context, wait time.Duration) (jetstream.Msg, error) {
	if m := t.first; m != nil {
		t.first = nil
		return m, nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, err := t.it.Next(jetstream.NextContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", build.ErrUnavailable, t.stream, err)
	}
	return m, nil
}

// Quiet says that err of Next is only that nothing came while waiting.
func Quiet(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
}
