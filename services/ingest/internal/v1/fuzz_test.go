package v1

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// FuzzLogBody: whatever a VM posts as a log, its lines are text or it is refused.
func FuzzLogBody(f *testing.F) {
	for _, seed := range []string{
		`{"level":"info","message":"x"}`, `{"logs":[{"level":"warn","message":"x"},5,null]}`, `{"level":"error","message":"a "b" c:\d"}`,
		`{"message":"m","level":"info"}`, "{", "null", "\x00", `{"level":"info","message":"` + "\xff", `{"level":"info","message":"\u0000 \\u0000 \\\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	h := workers{&API{Deps: Deps{Responder: httpapi.Responder{Log: slog.New(slog.DiscardHandler)}}}}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, _, err := h.parseLog(r, httpapi.CleanJSON(data))
		if err != nil {
			return
		}
		for _, l := range lines {
			if !l.valid() {
				continue
			}
			if p := line(*l.Level, *l.Message); !text.Valid(p.GetText()) || len(p.GetText()) > 3*maxLine {
				t.Errorf("%q became a line of %d bytes", data, len(p.GetText()))
			}
		}
	})
}

// FuzzTelemetryBody: an event is an object, and its numbers are possible or dropped.
func FuzzTelemetryBody(f *testing.F) {
	for _, seed := range []string{
		`{"type":"cpu_snapshot","data":{"cpu_percent":99.5,"memory_mb":1}}`, `{"type":"heartbeat","data":{"stage":"x","metrics":{"processes":1e99}}}`,
		"[]", "null", "5", `{"type":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e telemetryEvent
		if readObject(bytes.NewReader(data), &e) == nil && bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
			t.Errorf("%q is taken for an object", data)
		}
	})
}

// FuzzListQuery: whatever a client asks for is within bounds.
func FuzzListQuery(f *testing.F) {
	for _, seed := range []string{"limit=5", "before=-1", "limit=99999999999999999999", "a=b;c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if limit, before := listBounds(q); limit < 1 || limit > farm.MaxPage || before < 0 {
			t.Errorf("%q = %d, %d", query, limit, before)
		}
	})
}
