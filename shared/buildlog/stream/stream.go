package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Chunk is one message of a build's log.
type Chunk struct {
	*eventsv1.LogChunk

	// Writer is the worker that sent it, bus.System for the control plane.
	Writer string
	// ID is the id of a message of the control plane, whose lines have no numbers; empty for a worker's.
	ID string
	// Seq is its place in the stream, Left how many of the log lay behind it when it was sent.
	Seq, Left uint64

	unreadable bool
}

// Tail reads the log of one build. It belongs to one goroutine.
type Tail struct {
	*bus.Tail

	build   string
	authors *Authors
}

// Open reads from what follows the place after in the stream on, 0 for the beginning. Reading ends with ctx. What authors say is
// another's comes as a chunk without lines.
func Open(ctx context.Context, js jetstream.JetStream, authors *Authors, buildID string, after uint64) (*Tail, error) {
	return open(ctx, js, authors, buildID, after, false)
}

func open(ctx context.Context, js jetstream.JetStream, authors *Authors, buildID string, after uint64, heads bool) (*Tail, error) {
	cfg := bus.TailConfig{
		Stream: bus.LogsStream, Subject: bus.LogSubjectsOf(buildID), Policy: jetstream.DeliverAllPolicy, HeadersOnly: heads,
	}
	if after > 0 {
		cfg.Policy, cfg.From = jetstream.DeliverByStartSequencePolicy, after+1
	}
	t, err := bus.OpenTail(ctx, js, cfg)
	if err != nil {
		return nil, err
	}
	return &Tail{Tail: t, build: buildID, authors: authors}, nil
}

// Next waits so long for a message.
func (t *Tail) Next(ctx context.Context, wait time.Duration) (Chunk, error) {
	m, err := t.Tail.Next(ctx, wait)
	if err != nil {
		return Chunk{}, err
	}
	c, err := decode(m)
	if err != nil {
		return Chunk{}, err
	}
	wrote, err := t.authors.Wrote(ctx, t.build, c.Writer, c.GetAttempt())
	if err != nil {
		return Chunk{}, err
	}
	switch {
	case !wrote:
		c.LogChunk = &eventsv1.LogChunk{Attempt: c.GetAttempt()}
	case c.unreadable:
		c.Writer = bus.System // so that it counts as no line of the writer's own numbers
	}
	return c, nil
}

func decode(m jetstream.Msg) (Chunk, error) {
	md, err := m.Metadata()
	if err != nil {
		return Chunk{}, fmt.Errorf("read the log: %w", err)
	}
	c := Chunk{LogChunk: new(eventsv1.LogChunk), Seq: md.Sequence.Stream, Left: md.NumPending}
	writer, _, attempt, err := bus.ParseLog(m.Subject())
	if err != nil {
		return Chunk{}, fmt.Errorf("read the log: %w", err)
	}
	c.Writer, c.ID = writer, idOf(m, writer)
	if err := bus.Decode(m.Data(), c.LogChunk); err != nil {
		// A line nobody can read must not hide the others.
		c.unreadable, c.LogChunk = true, &eventsv1.LogChunk{Lines: []*eventsv1.LogLine{
			{AtMs: md.Timestamp.UnixMilli(), Level: "warn", Text: "(unreadable log lines)"},
		}}
	}
	// The bus has seen to it that the subject is true; what is inside may say anything. Only the scheduler ends a build.
	c.Attempt, c.Last = attempt, c.GetLast() && writer == bus.System
	return c, nil
}

// idOf is the id of a control-plane message. Its outbox publishes it again after a crash, and the stream may have forgotten that
// it has it.
func idOf(m jetstream.Msg, writer string) string {
	if writer != bus.System {
		return ""
	}
	return m.Headers().Get(bus.HeaderID)
}

// readTimeout bounds the wait for each message of a log that is there already.
const readTimeout = 10 * time.Second

// Backlog returns what the log held when it was opened to f, in order. What comes meanwhile is for the next reader.
func (t *Tail) Backlog(ctx context.Context, f func(Chunk) error) error {
	for range t.Pending() {
		c, err := t.Next(ctx, readTimeout)
		if err != nil {
			return err
		}
		if err := f(c); err != nil {
			return err
		}
		if c.Left == 0 { // some of what was there is gone meanwhile
			return nil
		}
	}
	return nil
}

// Grace is how long lines stay in the stream after their archive has become known. Who reads the stream without knowing of an
// archive must ask for one again, after it received a message, once its last asking is half of this ago: then no line that it
// has not received can have been deleted.
const Grace = time.Minute
