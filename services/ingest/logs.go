package ingest

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type lineV1 struct {
	Timestamp int64  `json:"timestamp"`
	Level     string `json:"level"`
	Message   string `json:"message"`
}

func logLineV1(_ chunk, l *eventsv1.LogLine) any {
	return lineV1{Timestamp: l.GetAtMs(), Level: levelOf(l), Message: l.GetText()}
}

func logLineV2(c chunk, l *eventsv1.LogLine) any {
	return api.LogLine{At: iso(l.GetAtMs()), Level: levelOf(l), Stage: l.GetStage(), Attempt: int(c.GetAttempt()), Text: l.GetText()}
}

// levelOf is one of the four that clients know.
func levelOf(l *eventsv1.LogLine) string {
	switch level := l.GetLevel(); level {
	case "debug", "info", "warn", "error":
		return level
	default:
		return "info"
	}
}

func (g *Ingest) logsV1(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	if _, err := g.getBuild(r.Context(), id); err != nil {
		g.fail(w, r, v1, err)
		return
	}
	g.writeLog(w, r, logAnswer{id: id, say: v1, line: logLineV1, head: `{"build_id":"` + id + `","logs":[`, foot: "]}\n"})
}

func (g *Ingest) logsV2(w http.ResponseWriter, r *http.Request) {
	resp, err := g.getBuild(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		g.fail(w, r, v2, err)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		g.followLog(w, r, resp.GetBuild())
		return
	}
	g.writeLog(w, r, logAnswer{id: resp.GetBuild().GetId(), say: v2, line: logLineV2, head: "[", foot: "]\n"})
}

// logAnswer is a whole log as JSON.
type logAnswer struct {
	id         string
	say        dialect
	line       func(chunk, *eventsv1.LogLine) any
	head, foot string
}

// writeLog sends the log as it is read, so that a long one is never held in memory. If it breaks half way, so does the
// connection: a client must not take a part for the whole.
func (g *Ingest) writeLog(w http.ResponseWriter, r *http.Request, a logAnswer) {
	ctx := r.Context()
	t, err := g.openLog(ctx, a.id, 0)
	if err != nil {
		g.fail(w, r, a.say, err)
		return
	}
	defer t.close(ctx)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	slow := newPatient(w, nil)
	defer slow.done()
	out := bufio.NewWriterSize(slow, 32<<10)
	out.WriteString(a.head) //nolint:errcheck // a bufio.Writer keeps its error for Flush
	err = t.backlog(ctx, a.writer(out))
	if err == nil {
		out.WriteString(a.foot) //nolint:errcheck // as above
		err = out.Flush()
	}
	if err != nil {
		g.log.WarnContext(ctx, "log not sent", "build_id", a.id, "err", errors.Join(err, ctx.Err()))
		panic(http.ErrAbortHandler)
	}
}

func (a logAnswer) writer(out *bufio.Writer) func(chunk) error {
	comma := ""
	return func(c chunk) error {
		for _, l := range c.GetLines() {
			data, err := json.Marshal(a.line(c, l))
			if err != nil {
				return err //nolint:wrapcheck // our own types always marshal
			}
			out.WriteString(comma) //nolint:errcheck // Write tells
			if _, err := out.Write(data); err != nil {
				return err //nolint:wrapcheck // the client left
			}
			comma = ","
		}
		return nil
	}
}
