package httpapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Dialect is the format of an API's errors.
type Dialect int

// The dialects of both APIs.
const (
	V1 Dialect = iota // {"error": "<sentence>"}
	V2                // RFC 9457
)

// DialectOf returns the dialect that clients of a path understand.
func DialectOf(path string) Dialect {
	if path == api.Path || strings.HasPrefix(path, api.Path+"/") {
		return V2
	}
	return V1
}

// RetryAfter is the value of the Retry-After header, in seconds. It is short: most outages last
// seconds, and clients add jitter.
const RetryAfter = "5"

// Refuse responds with an error.
func (d Dialect) Refuse(w http.ResponseWriter, r *http.Request, status int, code, sentence string) {
	switch status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusRequestTimeout:
		w.Header().Set("Retry-After", RetryAfter)
	}
	if d == V1 {
		httpx.WriteJSON(w, status, map[string]string{"error": sentence})
		return
	}
	httpx.WriteProblem(w, r, api.Problem{Status: status, Detail: sentence, Code: code})
}

// sentence returns the message for the client.
func (d Dialect) sentence(a answer, err error) string {
	var r *httpx.Refusal
	switch {
	case errors.As(err, &r) && d == V2 && r.Detail != "":
		return r.Sentence + ": " + r.Detail
	case errors.As(err, &r):
		return r.Sentence
	case a.sentence != "":
		return a.sentence
	}
	return err.Error()
}

// NotFound answers requests for paths that do not exist.
func NotFound(w http.ResponseWriter, r *http.Request) {
	DialectOf(r.URL.Path).Refuse(w, r, http.StatusNotFound, "not_found", "Not found")
}
