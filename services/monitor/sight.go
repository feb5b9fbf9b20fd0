package monitor

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// sight is what the look loop, its only user, knows of the heartbeats: whether an absent key means silence, or that the bus
// forgot it or did not take the beats.
type sight struct {
	// held is when there last was reason to doubt. A verdict needs one full TTL since.
	held time.Time
	// swept is the doubt because of which all workers are looked at: their keys may have gone without markers.
	swept time.Time
	// workers is when those that are due were last looked for.
	workers time.Time
	// watched is when it was last asked whether there are leases, and rest that there were none.
	watched time.Time
	rest    bool
	// reconnects of the connection, and the bucket's incarnation and leader, at the last probe. No bucket means that there
	// was none.
	reconnects uint64
	bucket     string
	probed     time.Time
	// silent are the nodes of the bus that did not follow the bucket at the last probe.
	silent map[string]bool
}

const (
	// probeEvery is how often the bucket is asked who it is while nothing else raises a doubt: more often than the shortest
	// TTL, so that a change in the morning does not hold a verdict in the evening.
	probeEvery = time.Second
	// probeTimeout is ample for one answer.
	probeTimeout = 2 * time.Second
	// nodeSilent is when a node of the bus counts as away. Nodes speak every second.
	nodeSilent = 3 * time.Second
)

// probe holds verdicts if the bus was away, if the bucket is gone, a new one, or has another leader, and when a node of the bus goes
// away: workers that were connected to it need a while to notice and to find another. The connection is
// asked how often it came back, and not waited on to tell: that may come later than the answer to a request of ours which
// was already made over the new connection.
func (m *Monitor) probe(ctx context.Context) error {
	now, n := m.now(), m.nc.Stats().Reconnects
	s := &m.sight
	if at := m.pauses.Last(); at.After(s.held) {
		s.held = at
	}
	if n == s.reconnects && s.bucket != "" && now.Sub(s.probed) < probeEvery {
		return nil
	}
	bucket, silent, err := m.bucket(ctx)
	if err != nil || n != s.reconnects || bucket != s.bucket {
		s.held = m.now()
	}
	for node := range silent {
		if !s.silent[node] {
			s.held = m.now()
		}
	}
	if err == nil {
		s.silent = silent
	}
	s.reconnects, s.bucket, s.probed = n, bucket, now
	return err
}

// bucket names the bucket's incarnation and leader, and the nodes that are away; empty beside an error.
func (m *Monitor) bucket(ctx context.Context) (name string, silent map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	stream, err := m.js.Stream(ctx, bus.HeartbeatStream)
	if err != nil {
		return "", nil, fmt.Errorf("open the heartbeats: %w", err)
	}
	info, leader := stream.CachedInfo(), ""
	silent = map[string]bool{}
	if info.Cluster != nil {
		leader = info.Cluster.Leader
		for _, r := range info.Cluster.Replicas {
			if r.Offline || r.Active > nodeSilent {
				silent[r.Name] = true
			}
		}
	}
	return info.Created.Format(time.RFC3339Nano) + " " + leader, silent, nil
}

// trusts says whether the absence of a key with this TTL is a verdict now. It asks for a pause again:
// this process may have been stopped between the probe and the look that found no key.
func (m *Monitor) trusts(ttl time.Duration) bool {
	return m.nc.Stats().Reconnects == m.sight.reconnects && !m.pauses.Last().After(m.sight.held) &&
		m.now().Sub(m.sight.held) >= ttl
}

// open returns the bucket for a round of looks.
func (m *Monitor) open(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := m.js.KeyValue(ctx, bus.HeartbeatBucket)
	if err != nil {
		m.sight.bucket = "" // the next probe finds out more
		return nil, fmt.Errorf("open the heartbeats: %w", err)
	}
	return kv, nil
}
