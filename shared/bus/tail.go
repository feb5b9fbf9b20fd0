package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Tail reads the present and future messages of a subject in order. It is not safe for concurrent use.
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
	// tailIdle is when the bus drops a reader whose process died.
	tailIdle = 30 * time.Second
	// tailHeartbeat is the interval of the server's heartbeats of a pull; the reader is recreated after two missed ones. tailExpiry is how
	// long a pull lasts.
	tailHeartbeat = time.Second
	tailExpiry    = 10 * time.Second
	// headsBuffer is tailBuffer for readers of headers only.
	headsBuffer = 1024
	// firstWait is how long the first message may take before the pull counts as lost, doubled each time until lastWait.
	firstWait = 150 * time.Millisecond
	lastWait  = 2 * time.Second
	// tailResets is how often a reader is recreated after the bus lost it; then Next fails.
	tailResets = 3
)

// TailConfig says what a Tail reads. From is the place for jetstream.DeliverByStartSequencePolicy.
type TailConfig struct {
	Stream, Subject string
	Policy          jetstream.DeliverPolicy
	From            uint64
	// HeadersOnly leaves out the bodies of messages.
	HeadersOnly bool
}

// OpenTail begins to read where the policy says, until ctx ends. It returns build.ErrUnavailable if the bus cannot be read.
//
// In a cluster the interest of a new consumer reaches our node by another route than the response to its creation, and a pull that is faster
// gets lost: 1 in 20, measured with nats-server 2.15.2. So if messages exist, OpenTail waits for the first one, and creates another consumer if
// it does not arrive.
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
	// A request to the consumer lets that interest overtake, most of the time. Missed heartbeats reveal a pull that gets lost later.
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
	// A reader that is being recreated while the bus is unavailable does not check its context.
	t.unwatch = context.AfterFunc(ctx, t.it.Stop)
	return t, nil
}

// Pending returns how many messages existed when the tail was opened.
func (t *Tail) Pending() uint64 { return t.pending }

// closeTimeout bounds the deletion of the reader, which otherwise ends after tailIdle.
const closeTimeout = 2 * time.Second

// Close deletes the reader on the bus; ctx may have ended.
func (t *Tail) Close(ctx context.Context) {
	t.unwatch()
	t.it.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	// If this is lost, the consumer ends by its inactivity.
	_ = t.js.DeleteConsumer(ctx, t.stream, t.cons.CachedInfo().Name)
}

// Next waits for the next message, at most so long. The tail remains usable after an error that is Quiet, and after no other.
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

// Quiet reports whether err of Next means that no message arrived in time.
func Quiet(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
}
