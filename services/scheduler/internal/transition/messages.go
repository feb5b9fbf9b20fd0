package transition

import (
	"context"
	"fmt"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Source is the source of the scheduler's events.
const Source = "scheduler"

// life returns what events of a build's end say of it.
func life(b store.Build) *eventsv1.Life {
	return &eventsv1.Life{
		Project: b.Project, Platform: string(b.Platform), Pool: b.Pool, Profile: b.Profile, SubmittedAtMs: store.Millis(b.SubmittedAt),
		AssignedAtMs: store.Millis(b.AssignedAt), StartedAtMs: store.Millis(b.StartedAt), Stage: b.Stage, StageAtMs: store.Millis(b.StageAt),
	}
}

// Submitted returns the event of a build that was submitted.
func Submitted(b store.Build) *eventsv1.BuildSubmitted {
	return &eventsv1.BuildSubmitted{
		BuildId: b.ID, Project: b.Project, Platform: string(b.Platform), Pool: b.Pool,
		SubmittedAtMs: b.SubmittedAt.UnixMilli(), RetryOf: b.RetryOf,
	}
}

// LogLine returns a message with one line of the control plane's own. last marks the end of the log.
func LogLine(ctx context.Context, buildID string, attempt int32, at time.Time, level, text string, last bool) (bus.Message, error) {
	return LogLines(ctx, at, &eventsv1.LogChunk{
		BuildId: buildID, Attempt: attempt, Last: last,
		Lines: []*eventsv1.LogLine{{AtMs: at.UnixMilli(), Level: level, Text: text}},
	})
}

// LogLines returns a message with lines of the control plane's own.
func LogLines(ctx context.Context, at time.Time, c *eventsv1.LogChunk) (bus.Message, error) {
	m, err := bus.NewMessage(ctx, Source, bus.LogSubject(bus.System, c.GetBuildId(), c.GetAttempt()), at, c)
	if err == nil {
		m.Header[bus.HeaderLines] = bus.LogLines(0, len(c.GetLines()))
	}
	return m, err
}

// HandOut returns the message on BUILD_QUEUE that offers the attempt. Two schedulers put it there once, since its id is build and
// attempt.
func HandOut(ctx context.Context, b store.Build, at time.Time) (bus.Message, error) {
	m, err := bus.NewMessage(ctx, Source, bus.QueueSubject(b.Pool, string(b.Platform), b.ID, b.Attempt), at, &schedulerv1.HandOut{
		BuildId: b.ID, Attempt: b.Attempt, Pool: b.Pool, Platform: string(b.Platform),
	})
	if err != nil {
		return bus.Message{}, err
	}
	return m.WithID(fmt.Sprintf("%s.%d", b.ID, b.Attempt)), nil
}
