// Package handout keeps BUILD_QUEUE, the stream from which workers pull hand-outs, equal to what SQL has on offer.
//
// # Why both
//
// SQL decides: a build is on offer because its row says queued, and it is claimed by a compare-and-set on that row. The stream only
// carries the offer to a worker that waits. So a message that is lost, delivered twice or never delivered costs time, never a build.
//
// # When the stream and SQL disagree
//
// Run compares them every few seconds, after a restart of the bus too. It puts back what the stream lacks, offers again what has been
// on offer for too long beside free slots (docs/decisions/0027), deletes what SQL does not want, and makes streams and consumers that
// a wiped server lacks.
package handout

import (
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// Config of a Queue.
type Config struct {
	// Every is the time between two comparisons.
	Every time.Duration
	// Replicas of the streams. AsyncTelemetry lets the bus acknowledge telemetry before it writes it.
	Replicas       int
	AsyncTelemetry bool
	// StreamStorage is what all streams may take together, in bytes (0: what the account has); StreamLimits are those of single streams.
	StreamStorage int64
	StreamLimits  map[string]int64
}

// Queue is BUILD_QUEUE and its consumers. Make it with New; it is safe for concurrent use.
type Queue struct {
	cfg   Config
	store *store.Store
	js    jetstream.JetStream
	log   *slog.Logger
	now   func() time.Time
	lanes lanes
	meter meter
}

// New returns a queue; Create makes its streams.
func New(cfg Config, st *store.Store, js jetstream.JetStream, now func() time.Time, log *slog.Logger) (*Queue, error) {
	m, err := newMeter()
	if err != nil {
		return nil, err
	}
	return &Queue{cfg: cfg, store: st, js: js, log: log, now: now, meter: m}, nil
}
