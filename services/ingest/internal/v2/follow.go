package v2

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// followLog streams the log from behind Last-Event-ID, or from the requested line, and "end" with
// the build after its last line.
func (h buildLogs) followLog(w http.ResponseWriter, r *http.Request, b *schedulerv1.Build, p logRange) {
	leave, err := h.admitFollower()
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.Stopping, cancel)()
	out := httpapi.OpenSSE(w)
	defer out.Close()
	err = errors.Join(out.Comment("following"), out.Flush())
	if err == nil {
		err = h.Broadcaster.Follow(ctx, b.GetId(), firstLine(r.Header.Get("Last-Event-ID"), p), logOut{out})
	}
	if err != nil && ctx.Err() == nil {
		h.Log.InfoContext(ctx, "stream of log lines broken", "build_id", b.GetId(), "err", err)
		panic(http.ErrAbortHandler) // the client resumes where it was cut
	}
}

// firstLine returns the first line to send. It ignores an invalid Last-Event-ID.
func firstLine(lastEventID string, p logRange) int64 {
	if n, err := strconv.ParseInt(lastEventID, 10, 64); err == nil && n > 0 {
		return n + 1
	}
	if p.from < 0 {
		return p.from
	}
	return max(p.from, 1)
}

// logOut sends a followed log as server-sent events.
type logOut struct{ *httpapi.SSE }

var _ logs.Out = logOut{}

// Beat implements logs.Out.
func (o logOut) Beat() error { return errors.Join(o.Comment("still here"), o.Flush()) }

// End implements logs.Out.
func (o logOut) End(last []byte) error { return errors.Join(o.Write(last), o.Flush()) }

// appendEvent appends a line as a server-sent event, with the line number as id.
func appendEvent(b []byte, l logs.Line) []byte {
	b = strconv.AppendInt(append(b, "event: log\nid: "...), l.Number, 10)
	b = appendLine(append(b, "\ndata: "...), l)
	return append(b, "\n\n"...)
}

// StateOf returns the state of a build for followers.
func (h *API) StateOf(ctx context.Context, id string) (logs.State, error) {
	resp, err := h.Farm.BuildWithAttempts(ctx, id)
	if err != nil {
		return logs.State{}, err
	}
	data, err := json.Marshal(View(resp.GetBuild(), resp.GetAttempts()))
	if err != nil {
		return logs.State{}, err
	}
	return logs.State{
		Ended: build.State(resp.GetBuild().GetState()).Final(), Last: []byte("event: end\ndata: " + string(data) + "\n\n"),
	}, nil
}
