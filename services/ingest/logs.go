package ingest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func (g *Ingest) logsV1(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	resp, err := g.farm.BuildWithAttempts(r.Context(), id)
	if err != nil {
		g.Fail(w, r, httpapi.V1, err)
		return
	}
	g.writeLog(w, r, httpapi.V1, wholeLog(resp.GetBuild()), logForm{
		contentType: jsonLines, line: appendLineV1, comma: ",", head: `{"build_id":"` + id + `","logs":[`, foot: "]}\n",
	})
}

// logsV2 sends a log as it is asked for: followed, searched, as text for people, or as JSON.
func (g *Ingest) logsV2(w http.ResponseWriter, r *http.Request) {
	resp, err := g.farm.BuildWithAttempts(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		g.Fail(w, r, httpapi.V2, err)
		return
	}
	part, err := parsePart(r)
	if err != nil {
		g.Fail(w, r, httpapi.V2, err)
		return
	}
	accept := r.Header.Get("Accept")
	if strings.Contains(accept, sse2) {
		g.followLog(w, r, resp.GetBuild(), part)
		return
	}
	req, err := g.request(r.Context(), resp.GetBuild(), part)
	switch {
	case err != nil:
		g.Fail(w, r, httpapi.V2, err)
	case part.query != "":
		g.searchLog(w, r, req, part)
	case part.text || strings.Contains(accept, "text/plain"):
		w.Header().Set("Content-Disposition", httpapi.Attachment(req.BuildID+".log"))
		g.writeLog(w, r, httpapi.V2, req, logForm{contentType: "text/plain; charset=utf-8", line: appendPlain})
	default:
		g.writeLog(w, r, httpapi.V2, req, logForm{contentType: jsonLines, line: appendLineV2, comma: ",", head: "[", foot: "]\n"})
	}
}

const (
	jsonLines = "application/json; charset=utf-8"
	// defaultLines and maxLines bound a part of a log.
	defaultLines = 1000
	maxLines     = 10_000
)

// logPart is what a request wants of a log. The zero value is all of it.
type logPart struct {
	// from is the first line, from 1 on; negative: so many before the end. limit is how many, 0 for all that follow.
	from, limit int64
	query       string
	text        bool
}

func parsePart(r *http.Request) (p logPart, err error) {
	values := r.URL.Query()
	p.query, p.text = values.Get("q"), values.Get("format") == "text"
	if p.from, err = number(values.Get("from")); err != nil {
		return p, httpapi.Refuse(build.ErrInvalid, "from wants the number of a line, or a negative one to count from the end")
	}
	if p.limit, err = number(values.Get("limit")); err != nil || p.limit < 0 || p.limit > maxLines {
		return p, httpapi.Refuse(build.ErrInvalid, "limit wants a number from 1 to %d", maxLines)
	}
	if f := values.Get("format"); f != "" && f != "text" && f != "json" {
		return p, httpapi.Refuse(build.ErrInvalid, "format wants text or json")
	}
	if len(p.query) > maxQuery {
		return p, httpapi.Refuse(build.ErrInvalid, "q is longer than %d bytes", maxQuery)
	}
	return p, nil
}

func number(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

func wholeLog(b *schedulerv1.Build) logs.Request {
	return logs.Request{BuildID: b.GetId(), From: 1, Ended: build.State(b.GetState()).Final()}
}

// request finds the lines of a part. One that counts from the end costs a look at where that is.
func (g *Ingest) request(ctx context.Context, b *schedulerv1.Build, p logPart) (logs.Request, error) {
	req := wholeLog(b)
	if p.from < 0 {
		count, err := g.countLog(ctx, req)
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

// countLog is how many lines a log has now.
func (g *Ingest) countLog(ctx context.Context, req logs.Request) (int64, error) {
	req.From = 1 << 62
	return g.reader.Read(ctx, req, func([]logs.Line) error { return nil })
}

// logForm is how a log is written.
type logForm struct {
	contentType string
	line        func([]byte, logs.Line) []byte
	comma       string
	head, foot  string
}

// writeLog sends the log as it is read, so that a long one is never held in memory. If it breaks half way, so does the
// connection: a client must not take a part for the whole.
func (g *Ingest) writeLog(w http.ResponseWriter, r *http.Request, say httpapi.Dialect, req logs.Request, form logForm) {
	slow := httpapi.NewDeadlineWriter(w, nil)
	defer slow.Done()
	out := &logWriter{w: w, form: form, out: bufio.NewWriterSize(slow, 32<<10)}
	_, err := g.reader.Read(r.Context(), req, out.lines)
	if err != nil && !out.begun {
		g.Fail(w, r, say, err)
		return
	}
	if err == nil {
		err = out.end()
	}
	if err != nil {
		g.log.WarnContext(r.Context(), "log not sent", "build_id", req.BuildID, "err", errors.Join(err, r.Context().Err()))
		panic(http.ErrAbortHandler)
	}
}

// logWriter begins its answer with the first line, so that an error before it can still be told.
type logWriter struct {
	w     http.ResponseWriter
	form  logForm
	out   *bufio.Writer
	begun bool
	buf   []byte
}

func (l *logWriter) begin() {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", l.form.contentType)
		l.w.Header().Set("X-Content-Type-Options", "nosniff")
		l.out.WriteString(l.form.head) //nolint:errcheck // a bufio.Writer keeps its error for Flush
	}
}

func (l *logWriter) lines(lines []logs.Line) error {
	first := !l.begun
	l.begin()
	l.buf = l.buf[:0]
	for i, line := range lines {
		if !first || i > 0 {
			l.buf = append(l.buf, l.form.comma...)
		}
		l.buf = l.form.line(l.buf, line)
	}
	_, err := l.out.Write(l.buf)
	return err //nolint:wrapcheck // the client left
}

func (l *logWriter) end() error {
	l.begin()
	l.out.WriteString(l.form.foot) //nolint:errcheck // as above
	return l.out.Flush()           //nolint:wrapcheck // the client left
}

// appendLineV1 and the like write a line without going through reflection: a long log is mostly this.
func appendLineV1(b []byte, l logs.Line) []byte {
	b = strconv.AppendInt(append(b, `{"timestamp":`...), l.AtMs, 10)
	b = append(append(append(b, `,"level":"`...), l.Level...), `","message":`...)
	return append(appendString(b, l.Text), '}')
}

func appendLineV2(b []byte, l logs.Line) []byte {
	b = strconv.AppendInt(append(b, `{"line":`...), l.Number, 10)
	b = append(append(append(b, `,"at":"`...), httpapi.Time(l.AtMs)...), `","level":"`...)
	b = append(append(b, l.Level...), '"')
	if l.Stage != "" {
		b = appendString(append(b, `,"stage":`...), l.Stage)
	}
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(l.Attempt), 10)
	return append(appendString(append(b, `,"text":`...), l.Text), '}')
}

func appendPlain(b []byte, l logs.Line) []byte {
	return append(append(b, logs.Plain(l.Text)...), '\n')
}

// appendString writes text as JSON does.
func appendString(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(text)
			if err != nil { // a string always marshals
				panic(err)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// lineV2 is appendLineV2 for what is sent whole.
func lineV2(l logs.Line) api.LogLine {
	return api.LogLine{
		Line: l.Number, At: httpapi.Time(l.AtMs), Level: l.Level, Stage: l.Stage, Attempt: int(l.Attempt), Text: l.Text,
	}
}
