package scheduler

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// source is who our events say they come from.
const source = "scheduler"

// tell adds an event of the build to the change.
func (c *change) tell(ctx context.Context, e bus.Event, fact proto.Message) error {
	return c.add(ctx, bus.BuildSubject(c.now.ID, e), fact)
}

// say adds a line of the control plane's own to the build's log.
func (c *change) say(ctx context.Context, level, text string) error {
	line, err := logLine(ctx, c.now.ID, c.was.Attempt, c.at, level, text, c.now.State.Final())
	if err != nil {
		return err
	}
	c.facts = append(c.facts, line)
	return nil
}

func (c *change) add(ctx context.Context, subject string, fact proto.Message) error {
	m, err := bus.NewMessage(ctx, source, subject, c.at, fact)
	if err != nil {
		return err
	}
	c.facts = append(c.facts, m)
	return nil
}

// life is what an ended build was.
func life(b store.Build) *eventsv1.Life {
	return &eventsv1.Life{
		Project: b.Project, Platform: string(b.Platform), Pool: b.Pool, Profile: b.Profile, SubmittedAtMs: ms(b.SubmittedAt),
		AssignedAtMs: ms(b.AssignedAt), StartedAtMs: ms(b.StartedAt), Stage: b.Stage, StageAtMs: ms(b.StageAt),
	}
}

func logLine(ctx context.Context, buildID string, attempt int32, at time.Time, level, text string, last bool) (bus.Message, error) {
	return logLines(ctx, at, &eventsv1.LogChunk{
		BuildId: buildID, Attempt: attempt, Last: last,
		Lines: []*eventsv1.LogLine{{AtMs: at.UnixMilli(), Level: level, Text: text}},
	})
}

// logLines is a message of the control plane's own lines.
func logLines(ctx context.Context, at time.Time, c *eventsv1.LogChunk) (bus.Message, error) {
	m, err := bus.NewMessage(ctx, source, bus.LogSubject(bus.System, c.GetBuildId(), c.GetAttempt()), at, c)
	if err == nil {
		m.Header[bus.HeaderLines] = bus.LogLines(0, len(c.GetLines()))
	}
	return m, err
}

// handOut is the message on BUILD_QUEUE. Its id is build and attempt, so that two schedulers put it there once.
func handOut(ctx context.Context, b store.Build, at time.Time) (bus.Message, error) {
	m, err := bus.NewMessage(ctx, source, bus.QueueSubject(b.Pool, string(b.Platform), b.ID, b.Attempt), at, &schedulerv1.HandOut{
		BuildId: b.ID, Attempt: b.Attempt, Pool: b.Pool, Platform: string(b.Platform),
	})
	if err != nil {
		return bus.Message{}, err
	}
	return m.WithID(fmt.Sprintf("%s.%d", b.ID, b.Attempt)), nil
}
