package httpx

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/observe"
)

// WriteProblem answers with a problem document (RFC 9457). It fills in the title and the request id.
func WriteProblem(w http.ResponseWriter, r *http.Request, p api.Problem) {
	p.Title, p.RequestID = http.StatusText(p.Status), observe.RequestID(r.Context())
	write(w, p.Status, "application/problem+json", p)
}

// WriteJSON answers with v. It panics if v cannot be marshalled: our own types always can.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	write(w, status, "application/json; charset=utf-8", v)
}

// write sets the length, so that an answer that is flushed early is complete for the client.
func write(w http.ResponseWriter, status int, contentType string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // an error means that the client has left
}
