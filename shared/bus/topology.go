package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams and buckets.
const (
	EventsStream    = "BUILD_EVENTS"
	QueueStream     = "BUILD_QUEUE"
	LogsStream      = "BUILD_LOGS"
	TelemetryStream = "BUILD_TELEMETRY"
	HeartbeatBucket = "heartbeats"
	// HeartbeatStream is the stream behind the bucket, where the monitor reads expiry markers.
	HeartbeatStream = "KV_" + HeartbeatBucket
)

// MarkerTTL is how long an expiry marker can be read: the time the monitor may be away without a reconciliation.
const MarkerTTL = time.Minute

// QueueAckWait is how long a fetched hand-out waits for its claim before another worker gets it.
const QueueAckWait = 10 * time.Second

// Topology is everything JetStream holds for us.
type Topology struct {
	Streams []jetstream.StreamConfig
	Buckets []jetstream.KeyValueConfig
}

// NewTopology declares streams and buckets. replicas is 1 for a single server, 3 on a cluster.
//
// Events and hand-outs are synced before they are acknowledged (a server setting, see the embedded server and
// deployments). Logs and telemetry of a single server trade that for speed; on a cluster they are replicated instead.
// Heartbeats live in memory: what a restart forgets, the next beat says again, and the monitor holds its verdicts meanwhile.
func NewTopology(replicas int) Topology {
	fast := jetstream.DefaultPersistMode
	if replicas == 1 {
		fast = jetstream.AsyncPersistMode
	}
	return Topology{
		Streams: []jetstream.StreamConfig{
			{
				Name: EventsStream, Description: "what happened to builds and workers",
				Subjects: []string{prefix + "builds.*.*", prefix + "workers.*.*"},
				MaxAge:   30 * 24 * time.Hour, Duplicates: 15 * time.Minute, Replicas: replicas, AllowDirect: true,
			},
			{
				Name: QueueStream, Description: "attempts on offer to workers",
				Subjects: []string{prefix + "queue.*.*.*.*"}, Retention: jetstream.WorkQueuePolicy,
				// The scheduler releases little more than there are free slots; the bound only stops a runaway.
				MaxMsgs: 100_000, Discard: jetstream.DiscardNew, Duplicates: 2 * time.Minute, Replicas: replicas, AllowDirect: true,
			},
			{
				Name: LogsStream, Description: "log lines by attempt",
				Subjects: []string{prefix + "logs.*.*.*"}, MaxAge: 7 * 24 * time.Hour,
				Duplicates: 2 * time.Minute, Replicas: replicas, PersistMode: fast, AllowDirect: true,
			},
			{
				Name: TelemetryStream, Description: "samples of running builds",
				Subjects: []string{prefix + "telemetry.*.*"}, MaxAge: 24 * time.Hour, Replicas: replicas, PersistMode: fast,
			},
		},
		Buckets: []jetstream.KeyValueConfig{{
			Bucket: HeartbeatBucket, Description: "who is alive, by per-key TTL", History: 1,
			LimitMarkerTTL: MarkerTTL, Storage: jetstream.MemoryStorage, Replicas: replicas,
		}},
	}
}

// Ensure creates or updates what t declares; it may run in every service at every start.
func Ensure(ctx context.Context, js jetstream.JetStream, t Topology) error {
	for _, s := range t.Streams {
		if err := ensureStream(ctx, js, s); err != nil {
			return fmt.Errorf("stream %s: %w", s.Name, err)
		}
	}
	for _, b := range t.Buckets {
		if err := ensureBucket(ctx, js, b); err != nil {
			return fmt.Errorf("bucket %s: %w", b.Bucket, err)
		}
	}
	return nil
}

// ensureStream updates only what differs: creating a stream anew with the configuration it has changes nothing, while an
// update, even an empty one, races inside nats-server 2.15.2 with whoever makes a consumer at that moment.
func ensureStream(ctx context.Context, js jetstream.JetStream, s jetstream.StreamConfig) error {
	_, err := js.CreateStream(ctx, s)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		_, err = js.UpdateStream(ctx, s)
	}
	return err
}

// ensureBucket leaves an existing bucket alone when only the server's defaults differ.
func ensureBucket(ctx context.Context, js jetstream.JetStream, b jetstream.KeyValueConfig) error {
	_, err := js.CreateKeyValue(ctx, b)
	if errors.Is(err, jetstream.ErrBucketExists) {
		_, err = js.UpdateKeyValue(ctx, b)
	}
	return err
}

// EnsureQueueConsumer creates the durable pull consumer of a pool and platform.
func EnsureQueueConsumer(ctx context.Context, js jetstream.JetStream, pool, platform string) error {
	_, err := js.CreateOrUpdateConsumer(ctx, QueueStream, jetstream.ConsumerConfig{
		Durable:       QueueConsumer(pool, platform),
		FilterSubject: QueueSubjects(pool, platform),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       QueueAckWait,
		// The default of 512 waiting pulls would turn away the 513th idle worker; of 1,000 unacknowledged, stall a large pool.
		MaxWaiting:    20_000,
		MaxAckPending: 20_000,
	})
	if err != nil {
		return fmt.Errorf("consumer of pool %s, platform %s: %w", pool, platform, err)
	}
	return nil
}
