package standalone_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const drainWorkers = 50

// BenchmarkDrainV1 is how many builds a second fifty workers that poll over HTTP take from a full queue and deliver. Each
// polls, sends a result of 1 KB and polls again; all that they do is the protocol. An iteration is one build.
func BenchmarkDrainV1(b *testing.B) {
	f := newFarm(b)
	form, formType := submitForm(b, project(b).Bytes())
	submit := request(http.MethodPost, "/api/builds/submit", formType, form)
	fillQueue(b, f, submit, b.N)
	workers := make([]string, drainWorkers)
	for i := range workers {
		workers[i] = f.v1("ios").id
	}
	result := bytes.Repeat([]byte("r"), 1024)
	var done atomic.Int64
	var all sync.WaitGroup
	spent := f.cpu(b)
	b.ResetTimer()
	for _, id := range workers {
		all.Go(func() {
			w, err := dialWire("127.0.0.1:" + f.port)
			if err != nil {
				b.Error(err)
				return
			}
			defer w.conn.Close()
			poll := request(http.MethodGet, "/api/workers/poll?worker_id="+id, "", nil)
			for done.Load() < int64(b.N) && !b.Failed() {
				delivered, err := pollAndDeliver(w, poll, id, result)
				if err != nil {
					b.Error(err)
				}
				if delivered {
					done.Add(1)
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "builds/s")
	b.ReportMetric((f.cpu(b)-spent).Seconds()*1e6/float64(b.N), "server-cpu-us")
}

func fillQueue(b *testing.B, f *farm, submit []byte, n int) {
	b.Helper()
	var count atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			w, err := dialWire("127.0.0.1:" + f.port)
			if err != nil {
				b.Error(err)
				return
			}
			defer w.conn.Close()
			for count.Add(1) <= int64(n) {
				if status, body, err := w.do(submit); err != nil || status != http.StatusOK {
					b.Errorf("submit = %d %s, %v", status, body, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func pollAndDeliver(w *wire, poll []byte, id string, result []byte) (bool, error) {
	status, body, err := w.do(poll)
	var answer struct{ Job *struct{ ID string } }
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || status != http.StatusOK {
		return false, fmt.Errorf("poll = %d %s: %w", status, body, err)
	}
	if answer.Job == nil {
		return false, nil
	}
	form, formType := resultForm(answer.Job.ID, id, result)
	status, body, err = w.do(request(http.MethodPost, "/api/workers/upload", formType, form))
	if err != nil || status != http.StatusOK {
		return false, fmt.Errorf("upload = %d %s: %w", status, body, err)
	}
	return true, nil
}

func resultForm(build, worker string, result []byte) (form []byte, contentType string) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	_ = w.WriteField("build_id", build) // a buffer takes all
	_ = w.WriteField("worker_id", worker)
	_ = w.WriteField("success", "true")
	part, _ := w.CreateFormFile("result", "App.ipa")
	_, _ = io.Copy(part, bytes.NewReader(result))
	_ = w.Close()
	return buf.Bytes(), w.FormDataContentType()
}

// BenchmarkDrainNative is the same with workers on the bus: fifty of the true agent with a fake executor, in the process of
// the server, each with eight slots. They do all that a worker does but build: claim, log, download, upload, finish.
func BenchmarkDrainNative(b *testing.B) {
	cfg := config(b)
	cfg.Scheduler.MaxWaiting = int64(b.N) + 1000
	s := start(b, cfg)
	ids := s.submitMany(b.N)
	b.ResetTimer()
	s.fleet(drainWorkers, fake.Options{})
	var found map[string][]bus.Event
	deadline := time.Now().Add(5 * time.Minute)
	for len(found) < b.N {
		var err error
		if found, err = s.finals(b.Context()); err != nil || time.Now().After(deadline) {
			b.Fatalf("%d of %d builds ended: %v", len(found), b.N, err)
		}
	}
	b.StopTimer()
	for _, id := range ids {
		if !slices.Equal(found[id], []bus.Event{bus.Completed}) {
			b.Errorf("build %s has ended %v, want completed once", id, found[id])
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "builds/s")
}
