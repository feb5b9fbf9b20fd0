package logs

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// JSON is the content type of JSON lines.
const JSON = "application/json; charset=utf-8"

// Sender sends logs over HTTP.
type Sender struct {
	httpapi.Responder

	Reader *Reader
}

// Whole returns a request for all lines of a build's log.
func Whole(b *schedulerv1.Build) Request {
	return Request{BuildID: b.GetId(), From: 1, Ended: build.State(b.GetState()).Final()}
}

// Form is the format of a log.
type Form struct {
	ContentType string
	Line        func([]byte, Line) []byte
	Comma       string
	Head, Foot  string
}

// Send streams a log as it is read. If reading fails half way, it aborts the connection: a client
// must not mistake a part for the whole.
func (s Sender) Send(w http.ResponseWriter, r *http.Request, d httpapi.Dialect, req Request, form Form) {
	slow := httpx.NewDeadlineWriter(w, httpx.StallTimeout, nil)
	defer slow.Done()
	out := &logWriter{w: w, form: form, out: bufio.NewWriterSize(slow, 32<<10)}
	_, err := s.Reader.Read(r.Context(), req, out.lines)
	if err != nil && !out.begun {
		s.Fail(w, r, d, err)
		return
	}
	if err == nil {
		err = out.end()
	}
	if err != nil {
		s.Log.WarnContext(r.Context(), "send log failed", "build_id", req.BuildID, "err", errors.Join(err, r.Context().Err()))
		panic(http.ErrAbortHandler)
	}
}

// logWriter starts the response with the first line, so that an earlier error can still be
// reported.
type logWriter struct {
	w     http.ResponseWriter
	form  Form
	out   *bufio.Writer
	begun bool
	buf   []byte
}

func (l *logWriter) begin() {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", l.form.ContentType)
		l.w.Header().Set("X-Content-Type-Options", "nosniff")
		l.out.WriteString(l.form.Head) //nolint:errcheck // a bufio.Writer keeps its error for Flush
	}
}

func (l *logWriter) lines(lines []Line) error {
	first := !l.begun
	l.begin()
	l.buf = l.buf[:0]
	for i, line := range lines {
		if !first || i > 0 {
			l.buf = append(l.buf, l.form.Comma...)
		}
		l.buf = l.form.Line(l.buf, line)
	}
	_, err := l.out.Write(l.buf)
	return err
}

func (l *logWriter) end() error {
	l.begin()
	l.out.WriteString(l.form.Foot) //nolint:errcheck // as above
	return l.out.Flush()
}

// AppendString appends text as a JSON string.
func AppendString(b []byte, text string) []byte {
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
