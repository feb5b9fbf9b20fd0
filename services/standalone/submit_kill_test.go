package standalone_test

import (
	"bytes"
	dbsql "database/sql"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// killedForm is a submit of a source that no other has.
func killedForm(t testing.TB, source []byte) (form []byte, contentType string) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	err := w.WriteField("platform", "ios")
	if err == nil {
		var part io.Writer
		if part, err = w.CreateFormFile("source", "app.tar.gz"); err == nil {
			_, err = part.Write(source)
		}
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), w.FormDataContentType()
}

// post returns the status and id of an answer, 0 if none came.
func (f *farm) post(path string, form []byte, header map[string]string) (status int, id string) {
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.url()+path, bytes.NewReader(form))
	if err != nil {
		return 0, ""
	}
	req.Header.Set("X-API-Key", farmKey)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	var answer struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, ""
	}
	return resp.StatusCode, answer.ID
}

// reservations counts the idempotency keys that the server knows.
func (f *farm) reservations() (n int) {
	f.t.Helper()
	db, err := dbsql.Open("sqlite", "file:"+filepath.Join(f.dir, "ingest.db")+"?mode=ro")
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(f.t.Context(), `SELECT COUNT(*) FROM idempotency`).Scan(&n); err != nil {
		return 0 // busy
	}
	return n
}

// TestRepeatAfterAKillInMidSubmit: the server dies while a source arrives; the repeat with the same key is answered by the next
// one at once.
func TestRepeatAfterAKillInMidSubmit(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	source := project(t).Bytes()
	form, contentType := killedForm(t, source)
	header := map[string]string{"Content-Type": contentType, "Idempotency-Key": "one"}
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url()+"/api/v2/builds", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", farmKey)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Error("the cut submit was answered")
		}
	}()
	if _, err := pw.Write(form[:len(form)/2]); err != nil {
		t.Fatal(err)
	}
	f.eventually("the first submit is known", func() bool { return f.reservations() == 1 })
	f.kill()
	pw.CloseWithError(io.ErrUnexpectedEOF)
	<-done
	f.up()
	began := time.Now()
	if status, id := f.post("/api/v2/builds", form, header); status != http.StatusCreated || id == "" {
		t.Fatalf("the repeat = %d %q, want 201", status, id)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the repeat was answered after %s", took)
	}
}

// TestSubmitsAreOneBuildOverKills: 40 submits at once, the server is killed among them, and each client repeats its own until it
// is answered. Each is one build, with API v1 (known by its content) and with v2 (known by its key).
func TestSubmitsAreOneBuildOverKills(t *testing.T) {
	t.Parallel()
	const submits, rounds = 40, 4
	for version, path := range map[string]string{"v1": "/api/builds/submit", "v2": "/api/v2/builds"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			for round := range rounds {
				var answered atomic.Int32
				kill := make(chan struct{})
				closeKill := sync.OnceFunc(func() { close(kill) })
				up := make(chan struct{})
				var all sync.WaitGroup
				for i := range submits {
					form, contentType := killedForm(t, packed(t, map[string]string{"n": fmt.Sprint(version, round, i)}).Bytes())
					header := map[string]string{"Content-Type": contentType}
					if version == "v2" {
						header["Idempotency-Key"] = fmt.Sprint("k-", round, "-", i)
					}
					all.Go(func() {
						for {
							switch status, _ := f.post(path, form, header); {
							case status == http.StatusOK || status == http.StatusCreated:
								if int(answered.Add(1)) == 3+7*round {
									closeKill()
								}
								return
							case status == http.StatusConflict || status == http.StatusUnprocessableEntity:
								t.Errorf("a repeat was refused with %d", status)
								return
							case t.Context().Err() != nil:
								return
							case status == 0:
								<-up
							}
						}
					})
				}
				<-kill
				f.kill()
				f.up()
				close(up)
				all.Wait()
			}
			list, err := f.client().Builds.List(t.Context(), api.ListOptions{Limit: 1000})
			if err != nil || len(list.Builds) != submits*rounds {
				t.Errorf("%d builds, %v, want %d: one for each submit", len(list.Builds), err, submits*rounds)
			}
		})
	}
}
