package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
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

// MarkerTTL is the lifetime of expiry markers: how long the monitor may be away without a reconciliation.
const MarkerTTL = time.Minute

// QueueAckWait is how long a fetched hand-out waits for its claim before another worker gets it.
const QueueAckWait = 10 * time.Second

// Topology has every stream and bucket in JetStream.
type Topology struct {
	Streams []jetstream.StreamConfig
	Buckets []jetstream.KeyValueConfig
}

// NewTopology declares streams and buckets. replicas is 1 for a single server, 3 on a cluster.
//
// Everything is synced before it is acknowledged (a server setting, see the embedded server and deployments), whatever the
// number of replicas; AsyncTelemetry makes an exception. Heartbeats are stored in memory: after a restart the next ones replace them, and
// the monitor suspends stall detection meanwhile.
func NewTopology(replicas int) Topology {
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
				Duplicates: 2 * time.Minute, Replicas: replicas, AllowDirect: true,
			},
			{
				Name: TelemetryStream, Description: "samples of running builds",
				Subjects: []string{prefix + "telemetry.*.*"}, MaxAge: 24 * time.Hour, Replicas: replicas,
			},
		},
		Buckets: []jetstream.KeyValueConfig{{
			Bucket: HeartbeatBucket, Description: "who is alive, by per-key TTL", History: 1,
			LimitMarkerTTL: MarkerTTL, Storage: jetstream.MemoryStorage, Replicas: replicas,
		}},
	}
}

// IsTransient reports whether an error of Ensure means that the bus could not answer now: it is starting, or electing a leader.
func IsTransient(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == 503
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders)
}

// AsyncTelemetry lets the server acknowledge samples before it writes them, which a kill of the server can lose. The server fixes
// this when it creates the stream and cannot replicate such a stream, so only a single server may ask for it. Logs are not among
// them: their outbox forgets a line once it is acknowledged (docs/decisions/0031).
func (t Topology) AsyncTelemetry() Topology {
	t.Streams = slices.Clone(t.Streams)
	for i, s := range t.Streams {
		if s.Name == TelemetryStream {
			t.Streams[i].PersistMode = jetstream.AsyncPersistMode
		}
	}
	return t
}

// ErrAlone means that a stream was created for a single server and cannot be replicated now.
var ErrAlone = errors.New("the stream was made for one server alone and cannot be replicated; " +
	"what it holds is lost if it is removed (nats stream rm), and it is made anew then")

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

// ensureStream updates only what differs: creating a stream with the configuration that it has changes nothing, while an update, even an
// empty one, races inside nats-server 2.15.2 with the creation of a consumer. The persistence mode of an existing stream stays. A limit is
// never below what the stream holds, so an update drops nothing.
func ensureStream(ctx context.Context, js jetstream.JetStream, s jetstream.StreamConfig) error {
	old, err := js.Stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = js.CreateStream(ctx, s); !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		old, err = js.Stream(ctx, s.Name) // another was faster
	}
	if err != nil {
		return err
	}
	was := old.CachedInfo()
	if s.PersistMode = was.Config.PersistMode; s.PersistMode == jetstream.AsyncPersistMode && s.Replicas > 1 {
		return ErrAlone
	}
	if s.MaxBytes > 0 && uint64(s.MaxBytes) < was.State.Bytes {
		s.MaxBytes = int64(was.State.Bytes) // a server has fewer
	}
	if max(s.MaxBytes, 0) == max(was.Config.MaxBytes, 0) {
		if _, err = js.CreateStream(ctx, s); !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
	}
	_, err = js.UpdateStream(ctx, s)
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

// QueueWaiting is how many pulls wait at a pool's consumer. Further idle workers are turned away; they pull again after a while, or when they
// are woken because hand-outs lie unclaimed. The server visits all waiting pulls, twice, whenever one arrives, expires or gets a heartbeat:
// the cost grows with the square of their number, while a burst that needs more of them is delayed by a second.
const QueueWaiting = 128

// EnsureQueueConsumer creates the durable pull consumer of a pool and platform. It leaves a correct one alone, since the server writes the
// state of a consumer again when it is created again. The number of waiting pulls of an existing consumer cannot be changed.
func EnsureQueueConsumer(ctx context.Context, js jetstream.JetStream, pool, platform string) error {
	cfg := jetstream.ConsumerConfig{
		Durable:       QueueConsumer(pool, platform),
		FilterSubject: QueueSubjects(pool, platform),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       QueueAckWait,
		MaxWaiting:    QueueWaiting,
		// The default of 1,000 would stall a large pool.
		MaxAckPending: 20_000,
	}
	old, err := js.Consumer(ctx, QueueStream, cfg.Durable)
	switch {
	case err == nil:
		was := old.CachedInfo().Config
		if was.FilterSubject == cfg.FilterSubject && was.AckWait == cfg.AckWait && was.MaxAckPending == cfg.MaxAckPending {
			return nil
		}
		cfg.MaxWaiting = was.MaxWaiting
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return fmt.Errorf("consumer of pool %s, platform %s: %w", pool, platform, err)
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, QueueStream, cfg); err != nil {
		return fmt.Errorf("consumer of pool %s, platform %s: %w", pool, platform, err)
	}
	return nil
}

// QueueConsumers returns the names of the consumers of BUILD_QUEUE.
func QueueConsumers(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	stream, err := js.Stream(ctx, QueueStream)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", QueueStream, err)
	}
	list := stream.ConsumerNames(ctx)
	var names []string
	for name := range list.Name() {
		names = append(names, name)
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list consumers of %s: %w", QueueStream, err)
	}
	return names, nil
}

// Missing reports whether a stream or bucket of t does not exist. It changes nothing.
func Missing(ctx context.Context, js jetstream.JetStream, t Topology) (bool, error) {
	names := make([]string, 0, len(t.Streams)+len(t.Buckets))
	for _, s := range t.Streams {
		names = append(names, s.Name)
	}
	for _, b := range t.Buckets {
		names = append(names, "KV_"+b.Bucket)
	}
	for _, name := range names {
		_, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for stream %s: %w", name, err)
		}
	}
	return false, nil
}
