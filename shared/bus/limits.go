package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// DefaultStorage is what streams share, in bytes, where nothing else is known of the bus's storage.
	DefaultStorage = 16 << 30
	// leastStorage is below what any server has.
	leastStorage = 32 << 20
)

// parts is what a storage is divided into. It is odd on purpose: nats-server 2.15 refuses every further update, a smaller limit
// too, once limits add up to exactly what it has, and that is often a power of two.
const parts = 33

// shares of the storage, in parts of it. What is left over is for what the server writes beside the messages, and for messages that
// are deleted and still on disk. Events and hand-outs have many times what they need, so that only logs and telemetry ever meet
// their limits.
//
//nolint:gochecknoglobals // a constant table
var shares = map[string]int64{LogsStream: 16, EventsStream: 4, TelemetryStream: 2, QueueStream: 1}

// LimitedStreams returns the names of the streams that have limits.
func LimitedStreams() []string {
	return []string{EventsStream, LogsStream, QueueStream, TelemetryStream}
}

// Within divides storage bytes among the streams, so that a flood in one takes nothing from the others: a full stream of logs
// drops its oldest lines, while hand-outs and events are stored on. own overrides the limits of single streams, by name.
func (t Topology) Within(storage int64, own map[string]int64) Topology {
	t.Streams = slices.Clone(t.Streams)
	for i, s := range t.Streams {
		t.Streams[i].MaxBytes = storage / parts * shares[s.Name]
		if limit := own[s.Name]; limit > 0 {
			t.Streams[i].MaxBytes = limit
		}
	}
	return t
}

// EnsureWithin is Ensure with limits by Within. A storage of 0 is the account's limit, else DefaultStorage. Where the servers have
// less, it is halved until it fits. EnsureWithin returns the bytes that were divided. They are 0 if nothing fits; then streams that
// exist stay as they are.
func EnsureWithin(ctx context.Context, js jetstream.JetStream, t Topology, storage int64, own map[string]int64) (int64, error) {
	if storage <= 0 {
		var err error
		if storage, err = accountStorage(ctx, js, t.replicas()); err != nil {
			return 0, err
		}
	}
	for ; storage >= leastStorage; storage /= 2 {
		if err := Ensure(ctx, js, t.Within(storage, own)); !lacksStorage(err) {
			return storage, err
		}
	}
	t, err := t.missing(ctx, js)
	if err != nil {
		return 0, err
	}
	return 0, Ensure(ctx, js, t)
}

// missing leaves out the streams that exist: a server whose disk has shrunk below what it promised refuses every change of them,
// a smaller limit too.
func (t Topology) missing(ctx context.Context, js jetstream.JetStream) (Topology, error) {
	all := t.Streams
	t.Streams = nil
	for _, s := range all {
		_, err := js.Stream(ctx, s.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Streams = append(t.Streams, s)
		} else if err != nil {
			return t, fmt.Errorf("stream %s: %w", s.Name, err)
		}
	}
	return t, nil
}

func (t Topology) replicas() int64 {
	if len(t.Streams) == 0 {
		return 1
	}
	return int64(max(1, t.Streams[0].Replicas))
}

// accountStorage is what the account may store, of which each copy of a stream takes its part.
func accountStorage(ctx context.Context, js jetstream.JetStream, replicas int64) (int64, error) {
	info, err := js.AccountInfo(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the account's limits: %w", err)
	}
	if limit := info.Limits.MaxStore; limit > 0 {
		return min(DefaultStorage, limit/replicas), nil
	}
	return DefaultStorage, nil
}

// The server's codes for "no room": of one server, and of a cluster that looks for a place. nats.go has no names for them.
const (
	codeStorage jetstream.ErrorCode = 10047
	codePeers   jetstream.ErrorCode = 10005
)

// lacksStorage says that the servers cannot set so many bytes aside.
func lacksStorage(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) &&
		(refused.ErrorCode == codeStorage || refused.ErrorCode == codePeers && strings.Contains(refused.Description, "storage"))
}
