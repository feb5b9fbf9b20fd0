package standalone_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkV1 is requests a second of API v1 over 16 connections, to a server in a process of its own.
func BenchmarkV1(b *testing.B) {
	f := newFarm(b, "--log-limit-lines", "1000000000", "--log-limit-mb", "1000000") // the posts are of one build
	w := f.v1("android")
	held := f.submit()
	w.poll()
	idle := f.v1("ios")
	worker := []string{"X-Worker-Id", w.id, "X-Build-Id", held}
	form, formType := submitForm(b, project(b).Bytes())
	logs := `{"logs":[` + strings.TrimSuffix(strings.Repeat(`{"level":"info","message":"> Task :app:compileReleaseKotlin"},`, 100), ",") + `]}`
	for _, c := range []struct {
		name    string
		request []byte
	}{
		{"status", request(http.MethodGet, "/api/builds/"+held+"/status", "", nil)},
		{"idle poll", request(http.MethodGet, "/api/workers/poll?worker_id="+idle.id, "", nil)},
		{"telemetry", request(http.MethodPost, "/api/builds/"+held+"/telemetry", "application/json",
			[]byte(`{"type":"cpu_snapshot","timestamp":"2026-01-28T10:00:00Z","data":{"cpu_percent":99.5,"memory_mb":1024}}`), worker...)},
		{"100 log lines", request(http.MethodPost, "/api/builds/"+held+"/logs", "application/json", []byte(logs), worker...)},
		{"submit", request(http.MethodPost, "/api/builds/submit", formType, form)},
	} {
		b.Run(c.name, func(b *testing.B) {
			f.load(b, 16, func(int64) []byte { return c.request })
		})
	}
}

func submitForm(tb testing.TB, source []byte) ([]byte, string) {
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	err := form.WriteField("platform", "ios")
	if err == nil {
		var part io.Writer
		if part, err = form.CreateFormFile("source", "project.tar.gz"); err == nil {
			_, err = part.Write(source)
		}
	}
	if err != nil {
		tb.Error(err)
	}
	_ = form.Close() // a buffer takes all
	return buf.Bytes(), form.FormDataContentType()
}

// BenchmarkV1Upload sends a result of 1000 MiB (the limit is 1 GiB) as a v1 worker does, alone and eight at once, and reports by
// how much the server's peak memory grew.
func BenchmarkV1Upload(b *testing.B) {
	const size = 1000 << 20
	for _, atOnce := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d-at-once", atOnce), func(b *testing.B) {
			f := newFarm(b)
			before := f.peakMemory(b, true)
			b.SetBytes(int64(atOnce) * size)
			for b.Loop() {
				done := make(chan error, atOnce)
				for range atOnce {
					w := f.v1("android")
					f.submit()
					id := w.poll()
					go func() { done <- w.deliver(id, size) }()
				}
				for range atOnce {
					if err := <-done; err != nil {
						b.Error(err)
					}
				}
			}
			b.ReportMetric(float64(f.peakMemory(b, false)-before)/(1<<20), "MiB-growth")
			b.ReportMetric(float64(before)/(1<<20), "MiB-idle")
		})
	}
}

// deliver streams a result of size bytes, its file last.
func (w *v1) deliver(id string, size int64) error {
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	go func() {
		var err error
		for _, f := range [][2]string{{"build_id", id}, {"worker_id", w.id}, {"success", "true"}} {
			if err == nil {
				err = form.WriteField(f[0], f[1])
			}
		}
		if err == nil {
			var part io.Writer
			if part, err = form.CreateFormFile("result", "App.ipa"); err == nil {
				_, err = io.CopyN(part, zeros{}, size)
			}
		}
		if err == nil {
			err = form.Close()
		}
		pw.CloseWithError(err)
	}()
	req, err := http.NewRequest(http.MethodPost, w.url+"/api/workers/upload", pr)
	if err != nil {
		return err
	}
	req.Header.Set("X-API-Key", w.key)
	req.Header.Set("Content-Type", form.FormDataContentType())
	resp, err := (&http.Client{Timeout: 10 * time.Minute}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("upload = %s %s", resp.Status, body)
	}
	return nil
}
