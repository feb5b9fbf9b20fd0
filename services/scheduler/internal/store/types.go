package store

import (
	"errors"
	"slices"
	"strings"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// ErrConflict means that the row is not any more as it was read. The caller reads again and decides anew.
var ErrConflict = errors.New("the row has changed meanwhile")

// Build is a row of builds. Times are zero when they have not come.
type Build struct {
	Seq      int64
	ID       string
	Project  string
	Platform build.Platform
	Pool     string
	State    build.State
	// Attempt is the current one, from 1; Lost counts those that the infrastructure lost.
	Attempt  int32
	Lost     int32
	WorkerID string
	// WorkerName is who held the current attempt; only List reads it.
	WorkerName string
	Stage      string
	Priority   int32
	Error      string
	Profile    string
	Source     *eventsv1.ObjectRef
	Certs      *eventsv1.ObjectRef
	Result     *eventsv1.ObjectRef
	// NativeFingerprint is that of a completed build whose result can be repacked.
	NativeFingerprint string
	// Artifacts are nil if the build kept no files besides its result.
	Artifacts *schedulerv1.BuildArtifacts
	RetryOf   string
	Origin    build.Origin
	Settings  build.Settings

	SubmittedAt, QueuedAt, AssignedAt, StartedAt, FinishedAt time.Time
	// NotBefore delays the next hand-out after a lost attempt.
	NotBefore time.Time

	// Timeout of the build, and StageTTL, the silence forgiven in its present stage, are what its profile asked for; 0 if nothing.
	Timeout, StageTTL time.Duration
	// StageAt is when its present stage began.
	StageAt time.Time

	// VStart and VFinish are the tags of fair queueing that it was dispatched with (package order); 0 before.
	VStart, VFinish float64
	// OfferedAt is when its current hand-out was last put on the queue, Offers how often, in this attempt.
	OfferedAt time.Time
	Offers    int32
}

// Lane is the queue that the build belongs to.
func (b Build) Lane() Lane { return Lane{b.Pool, b.Platform, b.Settings.Requires} }

// LastOffered is when its hand-out was last put on the queue; schedulers before migration 0007 wrote only QueuedAt.
func (b Build) LastOffered() time.Time {
	if b.OfferedAt.After(b.QueuedAt) {
		return b.OfferedAt
	}
	return b.QueuedAt
}

// HeldBy says whether the worker holds this attempt now.
func (b Build) HeldBy(workerID string, attempt int32) bool {
	return b.State.Leased() && b.fenced(workerID, attempt)
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	Running    Outcome = "running"
	Completed  Outcome = "completed"
	Failed     Outcome = "failed"
	Cancelled  Outcome = "cancelled"
	Lost       Outcome = "lost"
	HandedBack Outcome = "handed_back"
)

// Attempt is a row of attempts: one hand-out.
type Attempt struct {
	BuildID              string
	Number               int32
	WorkerID, WorkerName string

	ClaimedAt, StartedAt, EndedAt time.Time

	Outcome Outcome
	Error   string
}

// Worker is a row of workers.
type Worker struct {
	ID, Name, Pool string
	// Platforms that it can do; none means all.
	Platforms []build.Platform
	Slots     int32
	Labels    build.Labels
	Version   string
	Online    bool
	Draining  bool
	// Polls: it has no connection to the bus, the gateway asks on its behalf.
	Polls bool
	// Offers: it understands offers that are addressed to it.
	Offers bool

	RegisteredAt, SeenAt time.Time
}

// Can says whether the worker may do builds of this pool and platform.
func (w Worker) Can(pool string, p build.Platform) bool {
	return w.Pool == pool && (len(w.Platforms) == 0 || slices.Contains(w.Platforms, p))
}

// CanBuild says whether the worker may do builds of the lane. Only one that understands offers may do those with requirements: they
// are on no queue.
func (w Worker) CanBuild(l Lane) bool {
	return w.Can(l.Pool, l.Platform) && (l.Requires == "" || w.Offers && !w.Polls && l.Requires.MetBy(w.Labels))
}

func platformsText(ps []build.Platform) string {
	words := make([]string, len(ps))
	for i, p := range ps {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}

func platformsOf(text string) []build.Platform {
	var ps []build.Platform
	for w := range strings.SplitSeq(text, ",") {
		if w != "" {
			ps = append(ps, build.Platform(w))
		}
	}
	return ps
}

// Millis returns t in Unix milliseconds, 0 for the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// FromMillis is the inverse of Millis, in UTC.
func FromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
