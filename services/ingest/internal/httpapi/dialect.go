package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Dialect is the form in which an API refuses.
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

// RetryAfter is the value of the Retry-After header, in seconds. It is short: what is full or away is so for seconds, and clients
// add jitter of their own.
const RetryAfter = "5"

// Refuse answers with a sentence.
func (d Dialect) Refuse(w http.ResponseWriter, r *http.Request, status int, code, sentence string) {
	switch status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusRequestTimeout:
		w.Header().Set("Retry-After", RetryAfter)
	}
	if d == V1 {
		WriteJSON(w, status, map[string]string{"error": sentence})
		return
	}
	WriteProblem(w, r, api.Problem{Status: status, Detail: sentence, Code: code})
}

// sentence returns what the client is told.
func (d Dialect) sentence(a answer, err error) string {
	var r *Refusal
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

// WriteProblem answers with a problem document; it fills in the title and the request id.
func WriteProblem(w http.ResponseWriter, r *http.Request, p api.Problem) {
	p.Title, p.RequestID = http.StatusText(p.Status), RequestID(r.Context())
	writeBody(w, p.Status, "application/problem+json", p)
}

// WriteJSON answers with v. It panics if v cannot be marshalled: our own types always can.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	writeBody(w, status, "application/json; charset=utf-8", v)
}

// writeBody sets the length, so that an answer that is flushed early is complete for the client.
func writeBody(w http.ResponseWriter, status int, contentType string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // nobody is there to learn that the client has left
}
