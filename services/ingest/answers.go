package ingest

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// dialect is how an API says no.
type dialect int

const (
	v1 dialect = iota // {"error": "<sentence>"}
	v2                // RFC 9457
)

// Codes of refusals that no sentinel stands for.
const (
	codeNoKey    = "missing_credentials"
	codeWrongKey = "wrong_credentials"
)

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // our own types always marshal
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// A client that left takes no answer; there is nobody to tell.
	_, _ = w.Write(append(data, '\n'))
}

// refuse answers with a sentence.
func (d dialect) refuse(w http.ResponseWriter, r *http.Request, status int, code, sentence string) {
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	if d == v1 {
		writeJSON(w, status, map[string]string{"error": sentence})
		return
	}
	data, err := json.Marshal(api.Problem{
		Title: http.StatusText(status), Status: status, Detail: sentence, Code: code, RequestID: requestID(r.Context()),
	})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}

// answer is what a sentinel becomes over HTTP. An empty sentence is the error's own.
type answer struct {
	err      error
	status   int
	sentence string
}

//nolint:gochecknoglobals // a constant table
var answers = []answer{
	{build.ErrNotFound, http.StatusNotFound, "Build not found"},
	{build.ErrFinished, http.StatusBadRequest, "Build already finished"},
	{build.ErrWorkerUnknown, http.StatusNotFound, "Worker not found"},
	{build.ErrObjectNotFound, http.StatusNotFound, ""},
	{build.ErrTooLarge, http.StatusRequestEntityTooLarge, ""},
	{build.ErrNoSpace, http.StatusInsufficientStorage, ""},
	{build.ErrBadArchive, http.StatusBadRequest, ""},
	{build.ErrInvalid, http.StatusBadRequest, ""},
	{build.ErrLeaseLost, http.StatusConflict, ""},
	{build.ErrQueueFull, http.StatusTooManyRequests, ""},
	{build.ErrUnavailable, http.StatusServiceUnavailable, "The service is not available right now; try again in a few seconds"},
}

// fail turns an error into an answer: one place. What is no sentinel stays in the log.
func (g *Ingest) fail(w http.ResponseWriter, r *http.Request, say dialect, err error) {
	if r.Context().Err() != nil {
		g.log.InfoContext(r.Context(), "client left", "request_id", requestID(r.Context()), "path", r.URL.Path, "err", err)
		return
	}
	for _, a := range answers {
		if !errors.Is(err, a.err) {
			continue
		}
		if a.status >= http.StatusInternalServerError {
			g.log.WarnContext(r.Context(), "request refused", "request_id", requestID(r.Context()), "path", r.URL.Path, "err", err)
		}
		sentence := a.sentence
		if sentence == "" {
			sentence = err.Error()
		}
		say.refuse(w, r, a.status, rpc.Code(err), sentence)
		return
	}
	g.log.ErrorContext(r.Context(), "request failed", "request_id", requestID(r.Context()), "path", r.URL.Path, "err", err)
	say.refuse(w, r, http.StatusInternalServerError, "internal", "Internal server error")
}
