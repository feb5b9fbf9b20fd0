package ingest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func report(change ...any) string {
	m := map[string]any{"worker_id": "w1", "status": "warning", "run_at": 1, "duration_ms": 1234, "auto_fixed": true, "checks": []any{
		map[string]any{"name": "disk_space", "message": "18 GB <free>", "details": map[string]any{"free": "18"}},
	}}
	for i := 0; i < len(change); i += 2 {
		m[change[i].(string)] = change[i+1]
	}
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func (f *farm) postJSON(path, body string) reply {
	f.t.Helper()
	h := withKey()
	h["Content-Type"] = "application/json"
	return f.do(http.MethodPost, path, strings.NewReader(body), h)
}

func TestDiagnostics(t *testing.T) {
	t.Parallel()
	f := setup(t)
	playFigures(t, f)
	f.get("/api/diagnostics/w1/latest").want(t, 404, "No diagnostic reports found")
	if r := f.get("/api/diagnostics/w1").want(t, 200); string(r.body) != `{"reports":[],"worker_id":"w1"}`+"\n" {
		t.Errorf("no reports = %s", r.body)
	}
	m := f.postJSON("/api/diagnostics/report", report()).want(t, 200).json(t)
	id, _ := m["id"].(string)
	if id == "" || m["status"] != "stored" || len(m) != 2 {
		t.Errorf("answer = %v", m)
	}
	want := map[string]any{
		"id": id, "worker_id": "w1", "status": "warning", "run_at": 1_700_000_000_000.0, "duration_ms": 1234.0, "auto_fixed": true,
		"checks": []any{map[string]any{"name": "disk_space", "message": "18 GB <free>", "details": map[string]any{"free": "18"}}},
	}
	if diff := cmp.Diff(want, f.get("/api/diagnostics/w1/latest").want(t, 200).json(t)); diff != "" {
		t.Errorf("latest (-want +got):\n%s", diff)
	}
	for range 14 {
		f.postJSON("/api/diagnostics/report", report("auto_fixed", nil)).want(t, 200)
	}
	for query, n := range map[string]int{"": 10, "?limit=3": 3, "?limit=50": 15, "?limit=abc": 10, "?limit=-1": 10, "?limit=100000": 15} {
		reports, _ := f.get("/api/diagnostics/w1"+query).want(t, 200).json(t)["reports"].([]any)
		if first, _ := reports[0].(map[string]any); len(reports) != n || first["auto_fixed"] != false {
			t.Errorf("limit %q: %d reports, the first %v, want %d", query, len(reports), first, n)
		}
	}
	if r := f.get("/api/diagnostics/w2").want(t, 200); !strings.Contains(string(r.body), `"reports":[]`) {
		t.Errorf("another's reports = %s", r.body)
	}
}

func TestAutoFixedAsTheFormerControllerReadIt(t *testing.T) {
	t.Parallel()
	f := setup(t)
	playFigures(t, f)
	for value, want := range map[string]bool{"true": true, "1": true, `"yes"`: true, "false": false, "0": false, "null": false, `""`: false} {
		f.postJSON("/api/diagnostics/report", report("auto_fixed", json.RawMessage(value))).want(t, 200)
		if got := f.get("/api/diagnostics/w1/latest").json(t)["auto_fixed"]; got != want {
			t.Errorf("auto_fixed %s = %v", value, got)
		}
	}
}

func TestDiagnosticsRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	far, _ := playFigures(t, f)
	const missing = "Missing required fields: worker_id, status, duration_ms, checks"
	for body, sentence := range map[string]string{
		report("worker_id", nil): missing, report("status", nil): missing, report("duration_ms", nil): missing, report("checks", nil): missing,
		report("worker_id", ""): missing, report("checks", json.RawMessage("null")): missing, "null": missing, "{}": missing,
		report("status", "fine"): "Invalid status. Must be: healthy, warning, or critical",
		report("checks", "none"): "checks must be an array", report("checks", map[string]any{}): "checks must be an array",
		report("duration_ms", -1): "duration_ms is out of range", report("duration_ms", 1e300): "duration_ms is out of range",
	} {
		f.postJSON("/api/diagnostics/report", body).want(t, 400, sentence)
	}
	for _, body := range []string{
		"", "{", "[]", `"x"`, "5", "\x00", "\xff", strings.Repeat("[", 100_000), report() + "x",
		report("duration_ms", "long"), report("worker_id", map[string]any{}), report("status", []any{}),
	} {
		f.postJSON("/api/diagnostics/report", body).want(t, 400)
	}
	f.postJSON("/api/diagnostics/report", report("checks", []any{strings.Repeat("x", 16<<10)})).want(t, 413, "checks has more than 16384 bytes")
	f.postJSON("/api/diagnostics/report", report("worker_id", "nobody")).want(t, 404, "Worker not found")
	f.postJSON("/api/diagnostics/report", report("worker_id", "../a b")).want(t, 404, "Worker not found")
	f.get("/api/diagnostics/%00").want(t, 400)
	for _, id := range []string{"nobody", "a.b", "a%20b", strings.Repeat("a", 5000)} {
		f.get("/api/diagnostics/"+id).want(t, 404, "Worker not found")
		f.get("/api/diagnostics/"+id+"/latest").want(t, 404, "Worker not found")
	}
	for _, path := range []string{"/api/diagnostics/w1", "/api/diagnostics/w1/latest"} {
		f.do("GET", path, nil, nil).want(t, 401, "Missing X-API-Key header")
	}
	f.do("POST", "/api/diagnostics/report", strings.NewReader("{"), nil).want(t, 401, "Missing X-API-Key header")
	if n := len(far.reports); n != 0 {
		t.Errorf("%d reports stored", n)
	}
}

func TestDiagnosticsOfBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	f := setup(t)
	playFigures(t, f)
	f.postJSON("/api/diagnostics/report", `{"worker_id":"w1","status":"healthy","duration_ms":0.5,"checks":["`+"\xff"+`"]}`).want(t, 200)
	m := f.get("/api/diagnostics/w1/latest").want(t, 200).json(t)
	if diff := cmp.Diff([]any{"\ufffd"}, m["checks"]); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}
