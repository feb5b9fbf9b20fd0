package handout

import (
	"context"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// startTimeout is how long a start waits for the bus: a cluster that starts as well, or has just lost a node, elects first.
	startTimeout = 30 * time.Second
	startRetry   = 500 * time.Millisecond
)

// Create creates or updates the streams and the consumer of each lane.
func (q *Queue) Create(ctx context.Context) error {
	for began := q.now(); ; {
		err := q.ensureTopology(ctx)
		if err == nil || !bus.IsTransient(err) || q.now().Sub(began) > startTimeout {
			return err
		}
		q.log.WarnContext(ctx, "create streams failed; trying again", "err", err)
		if err := backoff.Sleep(ctx, startRetry); err != nil {
			return err
		}
	}
}

func (q *Queue) topology() bus.Topology {
	topology := bus.NewTopology(q.cfg.Replicas)
	if q.cfg.AsyncTelemetry {
		topology = topology.AsyncTelemetry()
	}
	return topology
}

func (q *Queue) ensureTopology(ctx context.Context) error {
	if err := q.ensureStreams(ctx); err != nil {
		return err
	}
	lanes, err := q.store.Lanes(ctx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if err := bus.EnsureQueueConsumer(ctx, q.js, l.Pool, string(l.Platform)); err != nil {
			return err
		}
	}
	return nil
}

// checkTopology creates what a wiped server lacks. It only reads where nothing is missing: creating a consumer that exists writes its
// state anew, which the server should not do on a timer.
func (q *Queue) checkTopology(ctx context.Context) error {
	missing, err := bus.Missing(ctx, q.js, q.topology())
	if err != nil {
		return err
	}
	if missing {
		return q.ensureTopology(ctx)
	}
	names, err := bus.QueueConsumers(ctx, q.js)
	if err != nil {
		return err
	}
	lanes, err := q.store.Lanes(ctx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if slices.Contains(names, bus.QueueConsumer(l.Pool, string(l.Platform))) {
			continue
		}
		if err := bus.EnsureQueueConsumer(ctx, q.js, l.Pool, string(l.Platform)); err != nil {
			return err
		}
	}
	return nil
}

// ensureStreams creates or updates the streams with limits that keep a flood of logs from taking the room of hand-outs.
func (q *Queue) ensureStreams(ctx context.Context) error {
	divided, err := bus.EnsureWithin(ctx, q.js, q.topology(), q.cfg.StreamStorage, q.cfg.StreamLimits)
	if err != nil {
		return err
	}
	if divided == 0 {
		q.log.WarnContext(ctx, "limits of streams not set: the bus has too little storage, so a flood of logs can stop hand-outs")
		return nil
	}
	if divided < q.cfg.StreamStorage {
		q.log.WarnContext(ctx, "streams share less storage than configured: the bus has no more", "storage_bytes", divided, "wanted_bytes", q.cfg.StreamStorage)
	}
	return nil
}
