package v1

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/go-chi/chi/v5"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	// maxLogBody bounds a post of log lines, maxLine one line of it, in bytes.
	maxLogBody = 8 << 20
	maxLine    = 64 << 10
	// chunkLines and chunkBytes bound one message of BUILD_LOGS.
	chunkLines = 1000
	chunkBytes = 256 << 10
)

// postedLine is a line as a worker posts it.
type postedLine struct {
	Level   *string `json:"level"`
	Message *string `json:"message"`
}

func (l postedLine) complete() bool { return l.Level != nil && l.Message != nil }

func (l postedLine) valid() bool {
	return l.complete() && (*l.Level == "info" || *l.Level == "warn" || *l.Level == "error")
}

// addLogs appends lines of the worker that holds the build.
func (h workers) addLogs(w http.ResponseWriter, r *http.Request) {
	b := heldBuild(r.Context())
	data, err := io.ReadAll(httpapi.NewBody(w, r, maxLogBody))
	if err != nil {
		h.Fail(w, r, httpapi.V1, logBodyError(err))
		return
	}
	in, batch, err := h.parseLog(r, httpapi.CleanJSON(data))
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	lines := make([]*eventsv1.LogLine, 0, len(in))
	for _, l := range in {
		if l.valid() {
			lines = append(lines, line(*l.Level, *l.Message))
		}
	}
	if err := h.addLines(r, b, lines); err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	answer := map[string]any{"success": true}
	if batch != nil {
		answer["count"] = *batch
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
}

func logBodyError(err error) error {
	if err := httpapi.BodyError(err); !isTooLarge(err) {
		return err
	}
	return httpx.Refuse(build.ErrTooLarge, "The body is larger than %d bytes", maxLogBody)
}

// parseLog returns the lines of a request. batch is the number of entries of a batch, nil for a
// single line.
func (h workers) parseLog(r *http.Request, data []byte) (lines []postedLine, batch *int, err error) {
	var body struct {
		postedLine

		Logs []json.RawMessage `json:"logs"`
	}
	if json.Unmarshal(data, &body) != nil {
		l, ok := recoverLine(string(data))
		if !ok {
			return nil, nil, httpx.Refuse(build.ErrInvalid, httpapi.MsgLogBody)
		}
		h.Log.DebugContext(r.Context(), "log line recovered from invalid JSON", "path", r.URL.Path)
		body.postedLine = l
	}
	switch {
	case body.Logs != nil:
		for _, raw := range body.Logs {
			var l postedLine
			if json.Unmarshal(raw, &l) == nil { // a bad entry is skipped
				lines = append(lines, l)
			}
		}
		return lines, new(len(body.Logs)), nil
	case !body.complete():
		return nil, nil, httpx.Refuse(build.ErrInvalid, httpapi.MsgLogBody)
	case !body.valid():
		return nil, nil, httpx.Refuse(build.ErrInvalid, httpapi.MsgLogLevel)
	}
	return []postedLine{body.postedLine}, nil, nil
}

var (
	levelField   = regexp.MustCompile(`"level"\s*:\s*"([a-z]+)"`)
	messageField = regexp.MustCompile(`"message"\s*:\s*"`)
	afterMessage = regexp.MustCompile(`"\s*(?:,\s*"level"\s*:\s*"[a-z]+"\s*)?\}?\s*$`)
)

// recoverLine extracts level and message from invalid JSON: scripts in VMs do not escape quotes and
// backslashes in messages.
func recoverLine(body string) (postedLine, bool) {
	level, begin := levelField.FindStringSubmatch(body), messageField.FindStringIndex(body)
	if level == nil || begin == nil {
		return postedLine{}, false
	}
	message := body[begin[1]:]
	if end := afterMessage.FindStringIndex(message); end != nil {
		message = message[:end[0]]
	}
	return postedLine{Level: &level[1], Message: &message}, true
}

func line(level, message string) *eventsv1.LogLine {
	return &eventsv1.LogLine{AtMs: time.Now().UnixMilli(), Level: level, Text: text.Clean(text.Cut(message, maxLine))}
}

// heartbeat renews the lease. Unlike other requests it has the worker's id in the query.
func (h workers) heartbeat(w http.ResponseWriter, r *http.Request) {
	worker := r.URL.Query().Get("worker_id")
	if worker == "" {
		h.Fail(w, r, httpapi.V1, httpx.Refuse(build.ErrInvalid, httpapi.MsgWorkerID))
		return
	}
	b, err := h.Farm.HeldBy(r.Context(), chi.URLParam(r, "id"), worker, httpapi.MsgNotThisWorkers)
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	progress, err := progressOf(w, r)
	if err == nil && progress != nil {
		err = h.addLines(r, b, []*eventsv1.LogLine{line("info", fmt.Sprintf("Build progress: %g%%", *progress))})
	} else if err == nil {
		err = h.Farm.ReportStage(r.Context(), b, "")
	}
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"status": "ok", "timestamp": time.Now().UnixMilli()})
}

// progressOf reads the progress in a heartbeat's body, nil if there is none.
func progressOf(w http.ResponseWriter, r *http.Request) (*float64, error) {
	data, err := io.ReadAll(httpapi.NewBody(w, r, httpapi.MaxBody))
	if err != nil {
		return nil, httpapi.BodyError(err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil // no progress is a normal answer
	}
	var body struct {
		Progress *float64 `json:"progress"`
	}
	if err := readObject(bytes.NewReader(data), &body); err != nil {
		return nil, err
	}
	return body.Progress, nil
}

// telemetry accepts events of the monitor in a VM. It responds ok to every valid event: the scripts
// ignore the response, and a measurement is not worth a failed build.
func (h workers) telemetry(w http.ResponseWriter, r *http.Request) {
	b := heldBuild(r.Context())
	var e telemetryEvent
	body, err := gunzip(httpapi.NewBody(w, r, httpapi.MaxBody), r.Header.Get("Content-Encoding"))
	if err == nil {
		err = readObject(body, &e)
	}
	if err == nil {
		err = h.handleTelemetry(r, b, e)
	}
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func gunzip(r io.Reader, encoding string) (io.Reader, error) {
	if encoding != "gzip" {
		return r, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, httpx.Refuse(build.ErrInvalid, "The body is not gzip")
	}
	return z, nil // readObject bounds what comes out of it
}
