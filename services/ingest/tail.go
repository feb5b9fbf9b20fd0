package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// chunk is a message of a build's log and its place in the stream, which is the log's order.
type chunk struct {
	*eventsv1.LogChunk
	seq uint64
	// left is how many messages lay behind it when it was sent.
	left uint64
}

// tail is an open reader of one build's log or events. It belongs to one goroutine.
type tail struct {
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
	// tailBuffer bounds the messages that wait for a slow reader, each at most 1 MB.
	tailBuffer = 64
	// tailIdle is when the bus forgets a reader whose process died.
	tailIdle = 30 * time.Second
	// tailHeartbeat is how often the bus says that a pull is alive; after two missed ones the reader is set up anew. tailExpiry
	// is how long a pull lasts.
	tailHeartbeat = time.Second
	tailExpiry    = 10 * time.Second
	// firstWait is how long the first message may take before the pull counts as lost, doubled each time until lastWait.
	firstWait = 150 * time.Millisecond
	lastWait  = 2 * time.Second
	// tailResets is how often a reader is set up anew after the bus lost it; then its client comes back by itself.
	tailResets = 3
)

// openLog reads from the stream position after `after`, 0 for the beginning. Reading ends with ctx.
func (g *Ingest) openLog(ctx context.Context, buildID string, after uint64) (*tail, error) {
	policy, from := jetstream.DeliverAllPolicy, uint64(0)
	if after > 0 {
		policy, from = jetstream.DeliverByStartSequencePolicy, after+1
	}
	return g.open(ctx, bus.LogsStream, bus.LogSubjectsOf(buildID), policy, from)
}

// open reads a subject of a stream. Reading ends with ctx.
//
// In a cluster the word that a new consumer listens comes to our node by another route than the answer that it was made, and
// a pull that is quicker gets lost: 1 in 20, measured with nats-server 2.15.2. Where messages are known to be there, the first
// one is therefore waited for, and if it does not come, another consumer is made.
func (g *Ingest) open(ctx context.Context, stream, subject string, policy jetstream.DeliverPolicy, from uint64) (*tail, error) {
	for wait := firstWait; ; wait *= 2 {
		t, err := g.openOnce(ctx, stream, subject, policy, from)
		if err != nil || t.pending == 0 || wait > lastWait {
			return t, err
		}
		t.first, err = t.message(ctx, wait)
		switch {
		case err == nil:
			return t, nil
		case !quiet(ctx, err):
			t.close(ctx)
			return nil, err
		}
		t.close(ctx)
	}
}

func (g *Ingest) openOnce(ctx context.Context, stream, subject string, policy jetstream.DeliverPolicy, from uint64) (*tail, error) {
	cons, err := g.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, InactiveThreshold: tailIdle, MaxResetAttempts: tailResets,
		DeliverPolicy: policy, OptStartSeq: from,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: open %s: %w", build.ErrUnavailable, stream, err)
	}
	t := &tail{js: g.js, stream: stream, cons: cons, pending: cons.CachedInfo().NumPending}
	// A question to the consumer lets that word overtake, most of the time. Should a pull get lost later, missed heartbeats tell.
	if _, err := cons.Info(ctx); err != nil {
		return nil, fmt.Errorf("%w: open %s: %w", build.ErrUnavailable, stream, err)
	}
	t.it, err = cons.Messages(jetstream.PullMaxMessages(tailBuffer), jetstream.PullHeartbeat(tailHeartbeat), jetstream.PullExpiry(tailExpiry))
	if err != nil {
		return nil, fmt.Errorf("%w: open %s: %w", build.ErrUnavailable, stream, err)
	}
	// A reader that is being set up anew while the bus is away does not look at its context.
	t.unwatch = context.AfterFunc(ctx, t.it.Stop)
	return t, nil
}

// closeTimeout bounds the goodbye to the bus, which would otherwise find out by tailIdle.
const closeTimeout = 2 * time.Second

func (t *tail) close(ctx context.Context) {
	t.unwatch()
	t.it.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	// If this is lost, the consumer ends by its inactivity.
	_ = t.js.DeleteConsumer(ctx, t.stream, t.cons.CachedInfo().Name)
}

// message waits so long for the next one.
func (t *tail) message(ctx context.Context, wait time.Duration) (jetstream.Msg, error) {
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

// nextWithin waits so long for a message of a log.
func (t *tail) nextWithin(ctx context.Context, wait time.Duration) (chunk, error) {
	m, err := t.message(ctx, wait)
	if err != nil {
		return chunk{}, err
	}
	md, err := m.Metadata()
	if err != nil {
		return chunk{}, fmt.Errorf("read the log: %w", err)
	}
	c := chunk{LogChunk: new(eventsv1.LogChunk), seq: md.Sequence.Stream, left: md.NumPending}
	if err := proto.Unmarshal(m.Data(), c.LogChunk); err != nil {
		// A line nobody can read must not hide the others.
		c.LogChunk = &eventsv1.LogChunk{Lines: []*eventsv1.LogLine{{AtMs: md.Timestamp.UnixMilli(), Level: "warn", Text: "(unreadable log lines)"}}}
	}
	return c, nil
}

// readTimeout bounds the wait for each message of a log that is there already.
const readTimeout = 10 * time.Second

// backlog gives what the log held when it was opened to f, oldest first. Lines that come meanwhile are for the next reader.
func (t *tail) backlog(ctx context.Context, f func(chunk) error) error {
	for range t.pending {
		c, err := t.nextWithin(ctx, readTimeout)
		if err != nil {
			return err
		}
		if err := f(c); err != nil {
			return err
		}
		if c.left == 0 { // some of what was there has aged out meanwhile
			return nil
		}
	}
	return nil
}

// quiet says that err is only that nothing came while waiting.
func quiet(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
}

// lastLogSeq is the newest position in the stream of all logs.
func (g *Ingest) lastLogSeq(ctx context.Context) (uint64, error) {
	s, err := g.js.Stream(ctx, bus.LogsStream)
	if err != nil {
		return 0, fmt.Errorf("%w: look at the logs: %w", build.ErrUnavailable, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}
