package outbox

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Emit writes messages into the outbox of tx.
func Emit(ctx context.Context, tx *database.Tx, msgs ...bus.Message) error {
	rows := make([]database.Message, len(msgs))
	for i, m := range msgs {
		rows[i] = database.Message(m)
	}
	return tx.Emit(ctx, rows...)
}

// Observer hears how publishes went: for each subject of a batch, nil or the error.
type Observer interface {
	Published(subject string, err error)
}

// NewRelay returns the relay that publishes what Emit wrote to db. sync makes durable what the bus has acknowledged, before it
// leaves the outbox; nil: an acknowledgement says that it is. observer may be nil.
func NewRelay(db *database.DB, js jetstream.JetStream, sync func() error, observer Observer, log *slog.Logger) *database.Relay {
	return database.NewRelay(db, publisher{js: js, sync: sync, observer: observer}, log)
}

// publisher is the bus as the relay needs it.
type publisher struct {
	js       jetstream.JetStream
	sync     func() error
	observer Observer
}

var _ database.Publisher = publisher{}

// Publish implements database.Publisher.
func (p publisher) Publish(ctx context.Context, rows []database.Message) (int, error) {
	msgs := make([]bus.Message, len(rows))
	for i, r := range rows {
		msgs[i] = bus.Message(r)
	}
	done, err := bus.PublishAll(ctx, p.js, msgs)
	p.observe(msgs[:done], err)
	return done, err
}

func (p publisher) observe(done []bus.Message, err error) {
	if p.observer == nil {
		return
	}
	for _, m := range done {
		p.observer.Published(m.Subject, nil)
	}
	var failed *bus.PublishError
	if errors.As(err, &failed) {
		p.observer.Published(failed.Subject, failed.Err)
	}
}

// Sync implements database.Publisher.
func (p publisher) Sync(context.Context) error {
	if p.sync == nil {
		return nil
	}
	return p.sync()
}
