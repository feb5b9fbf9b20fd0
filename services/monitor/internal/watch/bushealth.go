package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// busHealth knows whether an absent heartbeat means that its worker is gone, or that the bus forgot it or did not accept it. Only
// the loop that looks at heartbeats uses it.
type busHealth struct {
	nc *nats.Conn
	js jetstream.JetStream
	// pauses of this process: keys that expired meanwhile prove nothing.
	pauses *pause.Detector

	// holdFrom is when absence last proved nothing. A verdict needs one full TTL since.
	holdFrom time.Time
	// reconnects of the connection, and the bucket's incarnation and leader, at the last probe. An empty bucket means that there
	// was none.
	reconnects uint64
	bucket     string
	probed     time.Time
	// away are the nodes of the bus that did not follow the bucket at the last probe.
	away map[string]bool
}

const (
	// ProbeEvery is how often the bucket is probed while nothing else has changed: more often than the shortest TTL, so that a change is
	// seen when it happens.
	ProbeEvery = time.Second
	// probeTimeout bounds one probe.
	probeTimeout = 2 * time.Second
	// nodeTimeout is when a node of the bus counts as away. Nodes report every second.
	nodeTimeout = 3 * time.Second
)

// probe holds verdicts if the bus was away, if the bucket is gone, a new one, or has another leader, and when a node of the bus goes
// away: workers that were connected to it need a while to notice and to connect to another. It asks the connection for its count of
// reconnects instead of waiting for a notice, which may come later than the answer to a request over the new connection.
func (b *busHealth) probe(ctx context.Context) error {
	now, n := now(), b.nc.Stats().Reconnects
	if at := b.pauses.Last(); at.After(b.holdFrom) {
		b.holdFrom = at
	}
	if n == b.reconnects && b.bucket != "" && now.Sub(b.probed) < ProbeEvery {
		return nil
	}
	bucket, away, err := b.describeBucket(ctx)
	hold := err != nil || n != b.reconnects || bucket != b.bucket
	for node := range away {
		hold = hold || !b.away[node]
	}
	if hold {
		b.holdFrom = time.Now().UTC()
	}
	if err == nil {
		b.away = away
	}
	b.reconnects, b.bucket, b.probed = n, bucket, now
	return err
}

// describeBucket returns the bucket's incarnation and leader, and the nodes that are away.
func (b *busHealth) describeBucket(ctx context.Context) (name string, away map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, bus.HeartbeatStream)
	if err != nil {
		return "", nil, fmt.Errorf("open the heartbeats: %w", err)
	}
	info, leader := stream.CachedInfo(), ""
	away = map[string]bool{}
	if info.Cluster != nil {
		leader = info.Cluster.Leader
		for _, r := range info.Cluster.Replicas {
			if r.Offline || r.Active > nodeTimeout {
				away[r.Name] = true
			}
		}
	}
	return info.Created.Format(time.RFC3339Nano) + " " + leader, away, nil
}

// canJudge reports whether the absence of a key with this TTL proves now that its worker is gone. It checks for a pause again: this
// process may have been stopped between the probe and the read that found no key.
func (b *busHealth) canJudge(ttl time.Duration) bool {
	return b.nc.Stats().Reconnects == b.reconnects && !b.pauses.Last().After(b.holdFrom) && now().Sub(b.holdFrom) >= ttl
}

// open returns the bucket.
func (b *busHealth) open(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := b.js.KeyValue(ctx, bus.HeartbeatBucket)
	if err != nil {
		b.bucket = "" // the next probe finds out more
		return nil, fmt.Errorf("open the heartbeats: %w", err)
	}
	return kv, nil
}
