package stream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Head is what a message's subject and headers say of the lines in it.
type Head struct {
	Writer  string
	Attempt int32
	// ID is that of a message of the control plane, empty for a worker's.
	ID string
	// First is the number of the first line, 0 if they have none; Count how many.
	First int64
	Count int
	// Seq is the message's place in the stream.
	Seq uint64
}

// Heads returns the heads of what a log has behind the place after to f, in order, without the lines. It ends early, without an
// error, before a message whose head says nothing: those of older workers.
func Heads(ctx context.Context, js jetstream.JetStream, authors *Authors, buildID string, after uint64, f func(Head) error) error {
	t, err := open(ctx, js, authors, buildID, after, true)
	if err != nil {
		return err
	}
	defer t.Close(ctx)
	for range t.Pending() {
		m, err := t.Tail.Next(ctx, readTimeout)
		if err != nil {
			return err
		}
		md, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		h, said, err := headOf(m, md.Sequence.Stream)
		if err != nil {
			return err
		}
		wrote, err := authors.Wrote(ctx, buildID, h.Writer, h.Attempt)
		if err == nil && wrote {
			if !said {
				return nil
			}
			err = f(h)
		}
		if err != nil || md.NumPending == 0 {
			return err
		}
	}
	return nil
}

func headOf(m jetstream.Msg, seq uint64) (h Head, said bool, err error) {
	h.Seq = seq
	if h.Writer, _, h.Attempt, err = bus.ParseLog(m.Subject()); err != nil {
		return h, false, fmt.Errorf("read the log: %w", err)
	}
	h.ID = idOf(m, h.Writer)
	h.First, h.Count, said = bus.ParseLogLines(m.Headers().Get(bus.HeaderLines))
	return h, said, nil
}
