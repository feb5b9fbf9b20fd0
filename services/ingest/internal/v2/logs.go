package v2

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// logs sends a log as requested: live, search results, plain text, or JSON.
func (h buildLogs) logs(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.BuildWithAttempts(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	part, err := parseRange(r)
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	accept := r.Header.Get("Accept")
	if strings.Contains(accept, eventStream) {
		h.followLog(w, r, resp.GetBuild(), part)
		return
	}
	req, err := h.request(r.Context(), resp.GetBuild(), part)
	switch {
	case err != nil:
		h.Fail(w, r, httpapi.V2, err)
	case part.query != "":
		h.searchLog(w, r, req, part)
	case part.text || strings.Contains(accept, "text/plain"):
		w.Header().Set("Content-Disposition", httpapi.Attachment(req.BuildID+".log"))
		h.Logs.Send(w, r, httpapi.V2, req, logs.Form{ContentType: "text/plain; charset=utf-8", Line: appendPlain})
	default:
		h.Logs.Send(w, r, httpapi.V2, req, logs.Form{ContentType: logs.JSON, Line: appendLine, Comma: ",", Head: "[", Foot: "]\n"})
	}
}

const (
	// defaultLines and maxLines bound a part of a log.
	defaultLines = 1000
	maxLines     = 10_000
)

// logRange is the requested part of a log. The zero value is the whole log.
type logRange struct {
	// from is the first line, counted from 1; negative counts from the end. limit is the number of
	// lines, 0 for all.
	from, limit int64
	query       string
	text        bool
}

func parseRange(r *http.Request) (p logRange, err error) {
	values := r.URL.Query()
	p.query, p.text = values.Get("q"), values.Get("format") == "text"
	if p.from, err = parseLine(values.Get("from")); err != nil {
		return p, httpx.Refuse(build.ErrInvalid, "from must be a line parseLine, or negative to count from the end")
	}
	if p.limit, err = parseLine(values.Get("limit")); err != nil || p.limit < 0 || p.limit > maxLines {
		return p, httpx.Refuse(build.ErrInvalid, "limit must be 1 to %d", maxLines)
	}
	if f := values.Get("format"); f != "" && f != "text" && f != "json" {
		return p, httpx.Refuse(build.ErrInvalid, "format must be text or json")
	}
	if len(p.query) > maxQuery {
		return p, httpx.Refuse(build.ErrInvalid, "q is longer than %d bytes", maxQuery)
	}
	return p, nil
}

func parseLine(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

// request converts a range to lines. A range that counts from the end needs the number of lines.
func (h buildLogs) request(ctx context.Context, b *schedulerv1.Build, p logRange) (logs.Request, error) {
	req := logs.Whole(b)
	if p.from < 0 {
		count, err := h.countLog(ctx, req)
		if err != nil {
			return req, err
		}
		p.from += count + 1
	}
	req.From = max(p.from, 1)
	if p.limit > 0 && p.query == "" {
		req.To = req.From + p.limit - 1
	}
	return req, nil
}

// countLog returns the present number of lines of a log.
func (h buildLogs) countLog(ctx context.Context, req logs.Request) (int64, error) {
	req.From = 1 << 62
	return h.Logs.Reader.Read(ctx, req, func([]logs.Line) error { return nil })
}

// appendLine appends a line as JSON, without reflection for speed.
func appendLine(b []byte, l logs.Line) []byte {
	b = strconv.AppendInt(append(b, `{"line":`...), l.Number, 10)
	b = append(append(append(b, `,"at":"`...), httpapi.Time(l.AtMs)...), `","level":"`...)
	b = append(append(b, l.Level...), '"')
	if l.Stage != "" {
		b = logs.AppendString(append(b, `,"stage":`...), l.Stage)
	}
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(l.Attempt), 10)
	return append(logs.AppendString(append(b, `,"text":`...), l.Text), '}')
}

func appendPlain(b []byte, l logs.Line) []byte {
	return append(append(b, logs.Plain(l.Text)...), '\n')
}

// viewLine converts a line.
func viewLine(l logs.Line) api.LogLine {
	return api.LogLine{
		Line: l.Number, At: httpapi.Time(l.AtMs), Level: l.Level, Stage: l.Stage, Attempt: int(l.Attempt), Text: l.Text,
	}
}
