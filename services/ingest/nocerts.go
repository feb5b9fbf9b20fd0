package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// sayNoCerts stands in the log of an iOS build that came without certs.
const sayNoCerts = "This build has no signing certificates. The Mac worker app (FreeAgent.app) starts a virtual machine that " +
	"never becomes ready without them, and fails the build after 3 minutes; other workers can build it. To have it built by " +
	"the app, submit it again with a certificate and a provisioning profile (--cert and --profile)."

const (
	// noteTimeout bounds one try to write a note, notePause is the time between two, and noteAge the time for all of them:
	// longer than the bus is away when it restarts.
	noteTimeout = 2 * time.Second
	notePause   = 100 * time.Millisecond
	noteAge     = time.Minute
	// maxNotes bounds the notes that wait for their log.
	maxNotes = 1000
)

// note is a line of the gateway's own for the log of a build that was just submitted.
type note struct {
	buildID string
	at      time.Time
}

// errNotYet: the log has no first line yet. The scheduler writes it, and clients know a log by it.
var errNotYet = errors.New("the log has no first line yet")

// warnNoCerts says in the build's log what will become of an iOS build without certs: at once, almost always; else noteLoop
// goes on. The submit stands without it.
func (g *Ingest) warnNoCerts(ctx context.Context, b *schedulerv1.Build) {
	if b.GetPlatform() != string(build.IOS) || b.GetCerts().GetObjectId() != "" {
		return
	}
	n := note{b.GetId(), time.Now()}
	err := g.write(context.WithoutCancel(ctx), n)
	if err == nil {
		return
	}
	select {
	case g.notes <- n:
	default:
		g.log.WarnContext(ctx, "log of the build does not say that it has no certs", "build_id", n.buildID, "err", err)
	}
}

// write adds the note to the log if its first line is there. Written twice, it is there once.
func (g *Ingest) write(ctx context.Context, n note) error {
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	subject := bus.LogSubject(bus.System, n.buildID, 1)
	logs, err := g.js.Stream(ctx, bus.LogsStream)
	if err != nil {
		return fmt.Errorf("look at the logs: %w", err)
	}
	if _, err := logs.GetLastMsgForSubject(ctx, subject); errors.Is(err, jetstream.ErrMsgNotFound) {
		return errNotYet
	} else if err != nil {
		return fmt.Errorf("look at the log: %w", err)
	}
	m, err := bus.NewMessage(ctx, "ingest", subject, n.at, &eventsv1.LogChunk{
		BuildId: n.buildID, Attempt: 1, Lines: []*eventsv1.LogLine{{AtMs: n.at.UnixMilli(), Level: "warn", Text: sayNoCerts}},
	})
	if err != nil {
		return err //nolint:wrapcheck // our own types always marshal
	}
	if _, err := g.js.PublishMsg(ctx, m.WithID(n.buildID+".no-certs").NATS()); err != nil {
		return fmt.Errorf("publish a log line: %w", err)
	}
	return nil
}

// noteLoop writes the notes that had to wait, until ctx ends.
func (g *Ingest) noteLoop(ctx context.Context) error {
	tick := time.NewTicker(notePause)
	defer tick.Stop()
	var waiting []note
	for {
		more := g.notes
		if len(waiting) >= maxNotes {
			more = nil // the channel fills up, and then warnNoCerts gives up
		}
		select {
		case <-ctx.Done():
			return nil
		case n := <-more:
			waiting = append(waiting, n)
		case <-tick.C:
			waiting = slices.DeleteFunc(waiting, func(n note) bool { return g.settled(ctx, n) })
		}
	}
}

// settled says that a note is written, or not worth another try.
func (g *Ingest) settled(ctx context.Context, n note) bool {
	err := g.write(ctx, n)
	if err != nil && ctx.Err() == nil && time.Since(n.at) > noteAge {
		g.log.WarnContext(ctx, "log of the build does not say that it has no certs", "build_id", n.buildID, "err", err)
		return true
	}
	return err == nil
}
