package logstream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Chunk is one message of a build's log.
type Chunk struct {
	*eventsv1.LogChunk

	// Writer is the worker that sent it, bus.System for the control plane.
	Writer string
	// Seq is its place in the stream, Left how many of the log lay behind it when it was sent.
	Seq, Left uint64
}

// Tail reads the log of one build. It belongs to one goroutine.
type Tail struct{ *bus.Tail }

// Open reads from what follows the place after in the stream on, 0 for the beginning. Reading ends with ctx.
func Open(ctx context.Context, js jetstream.JetStream, buildID string, after uint64) (*Tail, error) {
	policy, from := jetstream.DeliverAllPolicy, uint64(0)
	if after > 0 {
		policy, from = jetstream.DeliverByStartSequencePolicy, after+1
	}
	t, err := bus.OpenTail(ctx, js, bus.LogsStream, bus.LogSubjectsOf(buildID), policy, from)
	if err != nil {
		return nil, err
	}
	return &Tail{t}, nil
}

// Next waits so long for a message.
func (t *Tail) Next(ctx context.Context, wait time.Duration) (Chunk, error) {
	m, err := t.Tail.Next(ctx, wait)
	if err != nil {
		return Chunk{}, err
	}
	return decode(m)
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
	c.Writer = writer
	if err := proto.Unmarshal(m.Data(), c.LogChunk); err != nil {
		// A line nobody can read must not hide the others.
		c.LogChunk = &eventsv1.LogChunk{Attempt: attempt, Lines: []*eventsv1.LogLine{
			{AtMs: md.Timestamp.UnixMilli(), Level: "warn", Text: "(unreadable log lines)"},
		}}
	}
	return c, nil
}

// readTimeout bounds the wait for each message of a log that is there already.
const readTimeout = 10 * time.Second

// Backlog gives what the log held when it was opened to f, in order. What comes meanwhile is for the next reader.
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
