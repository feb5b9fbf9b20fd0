package ingest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

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

// dialectOf is the one that clients of a path understand.
func dialectOf(path string) dialect {
	if path == api.Path || strings.HasPrefix(path, api.Path+"/") {
		return v2
	}
	return v1
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	writeBody(w, status, "application/json; charset=utf-8", v)
}

// writeBody says its length, so that an answer that is flushed early is whole to the client.
func writeBody(w http.ResponseWriter, status int, contentType string, v any) {
	data, err := json.Marshal(v)
	if err != nil { // our own types always marshal
		panic(err)
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // a client that left takes no answer; there is nobody to tell
}

// retryAfter is short: what is full or away is so for seconds, and the clients add jitter of their own.
const retryAfter = "5"

// refuse answers with a sentence.
func (d dialect) refuse(w http.ResponseWriter, r *http.Request, status int, code, sentence string) {
	switch status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusRequestTimeout:
		w.Header().Set("Retry-After", retryAfter)
	}
	if d == v1 {
		writeJSON(w, status, map[string]string{"error": sentence})
		return
	}
	writeBody(w, status, "application/problem+json", api.Problem{
		Title: http.StatusText(status), Status: status, Detail: sentence, Code: code, RequestID: requestID(r.Context()),
	})
}

// answer is what an error becomes over HTTP. An empty sentence is the error's own, an empty code the sentinel's.
type answer struct {
	err            error
	status         int
	sentence, code string
}

func answers() []answer {
	return []answer{
		{build.ErrNotFound, http.StatusNotFound, sayNotFound, ""},
		{build.ErrExpired, http.StatusGone, "", ""},
		{build.ErrFinished, http.StatusBadRequest, "Build already finished", ""},
		{build.ErrWorkerUnknown, http.StatusNotFound, "Worker not found", ""},
		{build.ErrObjectNotFound, http.StatusNotFound, "", ""},
		{build.ErrObjectCorrupt, http.StatusInternalServerError, "", ""},
		{build.ErrTooLarge, http.StatusRequestEntityTooLarge, "", ""},
		{build.ErrNoSpace, http.StatusInsufficientStorage, "", ""},
		{build.ErrBadArchive, http.StatusBadRequest, "", ""},
		{build.ErrInvalid, http.StatusBadRequest, "", ""},
		{build.ErrLeaseLost, http.StatusConflict, "", ""},
		{build.ErrQueueFull, http.StatusTooManyRequests, "", ""},
		{build.ErrUnauthorized, http.StatusForbidden, "", ""},
		{errConflict, http.StatusConflict, "", codeNotCompleted},
		{errUnderWay, http.StatusServiceUnavailable, "", api.CodeUnderWay},
		{errNameTaken, http.StatusUnprocessableEntity, "", "idempotency_key_reused"},
		{errForbidden, http.StatusForbidden, "", codeScope},
		{errUnfit, http.StatusUnprocessableEntity, "", codeUnfit},
		{errTooMany, http.StatusServiceUnavailable, "", codeTooMany},
		{errStalled, http.StatusRequestTimeout, sayFormStalled, codeStalled},
		{build.ErrUnavailable, http.StatusServiceUnavailable, sayUnavailable, ""},
	}
}

// fail turns an error into an answer: one place. What is no sentinel stays in the log.
func (g *Ingest) fail(w http.ResponseWriter, r *http.Request, say dialect, err error) {
	ctx := r.Context()
	if ctx.Err() != nil {
		g.log.InfoContext(ctx, "client left", "path", r.URL.Path, "err", err)
		return
	}
	if errors.Is(err, build.ErrExpired) {
		say.refuseExpired(w, r, err)
		return
	}
	for _, a := range answers() {
		if !errors.Is(err, a.err) {
			continue
		}
		if a.status >= http.StatusInternalServerError {
			g.log.WarnContext(ctx, "request refused", "path", r.URL.Path, "err", err)
		}
		if a.code == "" {
			a.code = rpc.Code(err)
		}
		say.refuse(w, r, a.status, a.code, say.sentence(a, err))
		return
	}
	if code := rpc.Code(err); code == build.Code(build.ErrUnavailable) { // a deadline, or something that is away
		g.log.WarnContext(ctx, "request not served", "path", r.URL.Path, "err", err)
		say.refuse(w, r, http.StatusServiceUnavailable, code, sayUnavailable)
		return
	}
	g.log.ErrorContext(ctx, "request failed", "path", r.URL.Path, "err", err)
	say.refuse(w, r, http.StatusInternalServerError, build.CodeInternal, sayInternal)
}

// sentence is what the client is told.
func (d dialect) sentence(a answer, err error) string {
	var r *refusal
	switch {
	case errors.As(err, &r) && d == v2 && r.detail != "":
		return r.sentence + ": " + r.detail
	case errors.As(err, &r):
		return r.sentence
	case a.sentence != "":
		return a.sentence
	}
	return err.Error()
}
