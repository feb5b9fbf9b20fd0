package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// DeleteOldest deletes the first n messages of some subjects one by one and returns how many that were. It deletes by sequence: a
// purge by subject makes nats-server 2.15 forget other messages that wait for redelivery.
func DeleteOldest(ctx context.Context, stream jetstream.Stream, subject string, n uint64) (deleted int, err error) {
	from := uint64(1)
	for range n {
		m, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return deleted, nil // acknowledged meanwhile
		}
		if err != nil {
			return deleted, err
		}
		if err := stream.DeleteMsg(ctx, m.Sequence); err != nil && !wasDeleted(ctx, stream, m.Sequence) {
			return deleted, err
		}
		deleted, from = deleted+1, m.Sequence+1
	}
	return deleted, nil
}

// wasDeleted reports whether a message that could not be deleted is not there any more: it was acknowledged a moment before.
func wasDeleted(ctx context.Context, stream jetstream.Stream, seq uint64) bool {
	_, err := stream.GetMsg(ctx, seq)
	return errors.Is(err, jetstream.ErrMsgNotFound)
}
