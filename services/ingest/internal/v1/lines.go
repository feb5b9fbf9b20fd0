package v1

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// addLines appends lines to a build's log and derives the stage from them. The lines have no
// numbers, since the gateway keeps no state; their order is that of the requests. Lines beyond the
// log limit are dropped without an error.
func (h workers) addLines(r *http.Request, b *schedulerv1.Build, lines []*eventsv1.LogLine) error {
	if err := h.Farm.ReportStage(r.Context(), b, farm.StageOf(lines)); err != nil {
		return err
	}
	n, over := h.quota.admit(r.Context(), b.GetId(), b.GetAttempt(), lines)
	for lines = lines[:n]; len(lines) > 0; {
		n, size := 0, 0
		for n < min(len(lines), chunkLines) && (n == 0 || size+len(lines[n].GetText()) <= chunkBytes) {
			lines[n].Stage = b.GetStage()
			size += len(lines[n].GetText())
			n++
		}
		if err := h.sendLines(r.Context(), b, build.NewID(), 0, lines[:n]); err != nil {
			return err
		}
		lines = lines[n:]
	}
	if over {
		return h.logLimitReached(r.Context(), b)
	}
	return nil
}

// logLimitReached ends a log that has reached its limit. Its line is the only one of the worker
// with a number. So it appears once even if several gateways send it, and later lines without a
// number do not appear (logstream.Numbering).
func (h workers) logLimitReached(ctx context.Context, b *schedulerv1.Build) error {
	if !h.quota.noticePending(b.GetId(), b.GetAttempt()) {
		return nil
	}
	notice := &eventsv1.LogLine{
		AtMs: time.Now().UnixMilli(), Level: "warn", Stage: b.GetStage(), Text: h.quota.limit.Reached("What follows is left out."),
	}
	id := fmt.Sprintf("%s.%d.limit", b.GetId(), b.GetAttempt())
	if err := h.sendLines(ctx, b, id, 1, []*eventsv1.LogLine{notice}); err != nil {
		return err
	}
	h.quota.noticeLogged(b.GetId(), b.GetAttempt())
	return nil
}

// sendLines publishes lines as one message in the name of the worker that holds the build.
func (h workers) sendLines(ctx context.Context, b *schedulerv1.Build, id string, first int64, lines []*eventsv1.LogLine) error {
	data, err := proto.Marshal(&eventsv1.LogChunk{BuildId: b.GetId(), Attempt: b.GetAttempt(), FirstLine: first, Lines: lines})
	if err != nil {
		return fmt.Errorf("pack log lines: %w", err)
	}
	m := nats.NewMsg(bus.LogSubject(b.GetWorkerId(), b.GetId(), b.GetAttempt()))
	m.Header.Set(nats.MsgIdHdr, id)
	m.Header.Set(bus.HeaderLines, bus.LogLines(first, len(lines)))
	m.Data = data
	if err := h.Farm.Publish(ctx, m); err != nil {
		return fmt.Errorf("%w: log lines: %w", build.ErrUnavailable, err)
	}
	return nil
}
