package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacytest"
)

// same compares row by row and file by file what the server answers with what the legacy controller had.
func same(t *testing.T, url, key string, in legacytest.Installation) {
	t.Helper()
	from := open(t, in)
	w := &v1{t: t, url: url, key: key}
	for after := int64(-1); ; {
		rows, err := from.Builds(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			after = row.Row
			sameBuild(t, w, from, row)
		}
	}
	workers, err := from.Workers(t.Context(), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range workers {
		var stats struct{ WorkerName string }
		if code := w.call(http.MethodGet, "/api/workers/"+row.ID+"/stats", "", nil, &stats); code != http.StatusOK || stats.WorkerName != row.Name {
			t.Errorf("worker %s = %d %+v, want %s", row.ID, code, stats, row.Name)
		}
	}
	sameReports(t, w, from)
}

// status is GET /api/builds/:id/status.
type status struct {
	ID           string  `json:"id"`
	Status       string  `json:"status"`
	Platform     string  `json:"platform"`
	WorkerID     *string `json:"worker_id"`
	SubmittedAt  int64   `json:"submitted_at"`
	StartedAt    *int64  `json:"started_at"`
	CompletedAt  *int64  `json:"completed_at"`
	ErrorMessage *string `json:"error_message"`
}

func sameBuild(t *testing.T, w *v1, from *legacydb.Controller, row legacydb.Build) {
	t.Helper()
	want := status{row.ID, row.Status, row.Platform, row.WorkerID, row.SubmittedAt, row.StartedAt, row.CompletedAt, row.ErrorMessage}
	if !row.Ended() { // it is in the queue again
		want.Status, want.WorkerID, want.StartedAt = "pending", nil, nil
	}
	var got status
	body, code := w.withToken("/api/builds/"+row.ID+"/status", row.AccessToken)
	if err := json.Unmarshal(body, &got); err != nil || code != http.StatusOK {
		t.Fatalf("status of %s with its old token = %d %s", row.ID, code, body)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("build %s (-want +got):\n%s", row.ID, diff)
	}
	if _, code := w.withToken("/api/builds/"+row.ID+"/status", row.AccessToken+"x"); code != http.StatusForbidden {
		t.Errorf("status of %s with another token = %d, want 403", row.ID, code)
	}
	sameLog(t, w, from, row)
	sameResult(t, w, from, row)
}

func (w *v1) withToken(path, token string) ([]byte, int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Build-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return body, resp.StatusCode
}

type line struct {
	Timestamp int64
	Level     string
	Message   string
}

func sameLog(t *testing.T, w *v1, from *legacydb.Controller, row legacydb.Build) {
	t.Helper()
	var want []line
	err := from.Lines(t.Context(), row.ID, func(l legacydb.Line) error { want = append(want, line{l.At, l.Level, l.Message}); return nil })
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Logs []line }
	body, code := w.withToken("/api/builds/"+row.ID+"/logs", row.AccessToken)
	if err := json.Unmarshal(body, &got); err != nil || code != http.StatusOK {
		t.Fatalf("log of %s = %d %.200s, %v", row.ID, code, body, err)
	}
	if !row.Ended() && len(got.Logs) > len(want) { // lines of this server follow
		got.Logs = got.Logs[:len(want)]
	}
	if diff := cmp.Diff(want, got.Logs); diff != "" {
		t.Errorf("log of %s (-want +got):\n%s", row.ID, diff)
	}
}

func sameResult(t *testing.T, w *v1, from *legacydb.Controller, row legacydb.Build) {
	t.Helper()
	body, code := w.withToken("/api/builds/"+row.ID+"/download", row.AccessToken)
	if row.Status != "completed" {
		if code != http.StatusBadRequest {
			t.Errorf("download of %s, which is %s = %d, want 400", row.ID, row.Status, code)
		}
		return
	}
	f, err := from.File(*row.ResultPath)
	if errors.Is(err, fs.ErrNotExist) {
		if code != http.StatusNotFound {
			t.Errorf("download of %s, whose file is lost = %d, want 404", row.ID, code)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := io.ReadAll(f)
	if err != nil || code != http.StatusOK || !bytes.Equal(body, want) {
		t.Errorf("download of %s = %d, %d bytes, want %d, %v", row.ID, code, len(body), len(want), err)
	}
}

func sameReports(t *testing.T, w *v1, from *legacydb.Controller) {
	t.Helper()
	reports, err := from.Reports(t.Context(), -1, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	byWorker := map[string][]string{}
	for _, d := range reports {
		byWorker[d.WorkerID] = append(byWorker[d.WorkerID], d.ID)
	}
	for worker, want := range byWorker {
		var got struct{ Reports []struct{ ID string } }
		if code := w.call(http.MethodGet, "/api/diagnostics/"+worker+"?limit=50", "", nil, &got); code != http.StatusOK {
			t.Fatalf("reports of %s = %d", worker, code)
		}
		var ids []string
		for _, d := range got.Reports {
			ids = append(ids, d.ID)
		}
		slices.Reverse(ids)
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("reports of %s (-want +got):\n%s", worker, diff)
		}
	}
}

// sealed: certificates are nowhere in the clear.
func sealed(t *testing.T, s *server) {
	t.Helper()
	for _, name := range storedObjects(t, s) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("certificates of ")) {
			t.Errorf("%s holds certificates in the clear", name)
		}
	}
}
