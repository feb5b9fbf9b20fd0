package transition

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Machine takes builds through their states. Set its fields before the first use; it is safe for concurrent use.
type Machine struct {
	Store  *store.Store
	Signal *Signal
	Relay  *database.Relay
	Log    *slog.Logger
	Now    func() time.Time
	// MaxAttempts is how many attempts may be lost until the build fails.
	MaxAttempts int32
	// Backoff is the wait after the first lost attempt; it doubles with each further one.
	Backoff time.Duration
}

// Change is a step of one build: what it was, what it becomes, and the messages of the same transaction.
type Change struct {
	was, now store.Build
	at       time.Time
	messages []bus.Message
}

// NewChange returns a change that leaves the build as it is, to emit messages about it.
func NewChange(b store.Build, at time.Time) *Change { return &Change{was: b, now: b, at: at} }

// Emit adds an event of the build.
func (c *Change) Emit(ctx context.Context, e bus.Event, event proto.Message) error {
	m, err := bus.NewMessage(ctx, Source, bus.BuildSubject(c.now.ID, e), c.at, event)
	if err != nil {
		return err
	}
	c.messages = append(c.messages, m)
	return nil
}

// Log adds a line of the control plane's own to the build's log.
func (c *Change) Log(ctx context.Context, level, text string) error {
	line, err := LogLine(ctx, c.now.ID, c.was.Attempt, c.at, level, text, c.now.State.Final())
	if err != nil {
		return err
	}
	c.messages = append(c.messages, line)
	return nil
}

// Add adds a message.
func (c *Change) Add(m bus.Message) { c.messages = append(c.messages, m) }

// Send publishes the messages once tx has committed.
func (c *Change) Send(ctx context.Context, tx *store.Tx) error { return tx.Emit(ctx, c.messages...) }

// step takes one arrow of the state table: edit fills in what else changes.
func (m *Machine) step(
	ctx context.Context, tx *store.Tx, b store.Build, cmd build.Command, edit func(*Change) error,
) (store.Build, error) {
	next, err := build.Next(b.State, cmd)
	if err != nil {
		return b, err
	}
	c := NewChange(b, m.Now())
	c.now.State = next
	if err := edit(c); err != nil {
		return b, err
	}
	if err := tx.SaveBuild(ctx, c.was, c.now); err != nil {
		return b, err
	}
	return c.now, c.Send(ctx, tx)
}

// Update runs one transaction over one build and signals the change.
func (m *Machine) Update(
	ctx context.Context, id string, f func(*store.Tx, store.Build) (store.Build, error),
) (b store.Build, err error) {
	err = m.Store.Update(ctx, func(tx *store.Tx) error {
		read, err := tx.Build(ctx, id)
		if err != nil {
			return err
		}
		b, err = f(tx, read)
		return err
	})
	switch {
	case err != nil:
	case b.State.Waiting():
		m.Signal.Arrived()
	default:
		m.Signal.Changed()
	}
	return b, err
}

// flushTimeout bounds how long an answer waits for its events: long enough that a reader sees the lines of a log in order on a busy
// machine, short enough that a bus outage does not stop submits.
const flushTimeout = 500 * time.Millisecond

// Flush waits until the events of a request are published, so that those of the requester come after them. The transaction
// is done: a bus that is away delays the answer by flushTimeout and changes nothing else.
func (m *Machine) Flush(ctx context.Context, request, buildID string) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := m.Relay.Flush(ctx); err != nil {
		m.Log.DebugContext(ctx, "answered before its events were published", "request", request, "build_id", buildID, "err", err)
	}
}

// LeaseLost returns the build.ErrLeaseLost of a worker that does not hold the attempt.
func LeaseLost(b store.Build, attempt int32) error {
	return fmt.Errorf("%w: attempt %d of build %s (it is %s, attempt %d)", build.ErrLeaseLost, attempt, b.ID, b.State, b.Attempt)
}
