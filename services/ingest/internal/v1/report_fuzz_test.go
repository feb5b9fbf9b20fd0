package v1

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// FuzzReport: whatever is taken for a diagnostic report can be stored and answered.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"worker_id":"w","status":"healthy","duration_ms":12.5,"auto_fixed":1,"checks":[{"name":"disk"}],"run_at":1}`))
	f.Add([]byte(`{"worker_id":"w","status":"critical","duration_ms":1e300,"checks":[]}`))
	f.Add([]byte(`{"worker_id":"w","status":"warning","duration_ms":0,"auto_fixed":null,"checks":"none"}`))
	f.Add([]byte("{\"worker_id\":\"w\",\"status\":\"healthy\",\"duration_ms\":1,\"checks\":[\"\xff\"]}"))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r report
		if json.Unmarshal(httpapi.CleanJSON(data), &r) != nil || r.check() != nil {
			return
		}
		p := r.message()
		var checks []json.RawMessage
		if err := json.Unmarshal(p.GetChecksJson(), &checks); err != nil {
			t.Errorf("checks %q are no array: %v", p.GetChecksJson(), err)
		}
		if p.GetDurationMs() < 0 || p.GetWorkerId() == "" || len(p.GetChecksJson()) > maxChecks {
			t.Errorf("report = %v", p)
		}
		if _, err := proto.Marshal(p); err != nil || !text.Valid(p.GetWorkerId()) {
			t.Errorf("report of %q cannot be packed or stored: %v", p.GetWorkerId(), err)
		}
		if _, err := json.Marshal(storedReport{Checks: p.GetChecksJson()}); err != nil {
			t.Errorf("it cannot be answered: %v", err)
		}
	})
}
