package v1

import (
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
)

func (h builds) logs(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	resp, err := h.Farm.BuildWithAttempts(r.Context(), id)
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	h.Logs.Send(w, r, httpapi.V1, logs.Whole(resp.GetBuild()), logs.Form{
		ContentType: logs.JSON, Line: appendLine, Comma: ",", Head: `{"build_id":"` + id + `","logs":[`, Foot: "]}\n",
	})
}

// appendLine appends a line as JSON, without reflection for speed.
func appendLine(b []byte, l logs.Line) []byte {
	b = strconv.AppendInt(append(b, `{"timestamp":`...), l.AtMs, 10)
	b = append(append(append(b, `,"level":"`...), l.Level...), `","message":`...)
	return append(logs.AppendString(b, l.Text), '}')
}
