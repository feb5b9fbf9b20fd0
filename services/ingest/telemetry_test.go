package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// building is a build that worker w1 builds.
func (f *farm) building() (id string) {
	f.t.Helper()
	id, _ = f.submit(platform("ios"), source())
	f.scheduler.set(id, func(b *schedulerv1.Build) {
		b.State, b.WorkerId, b.Attempt, b.Stage = string(build.Building), "w1", 1, "install"
	})
	return id
}

func (f *farm) measure(id, body string, gzipped bool) reply {
	f.t.Helper()
	h := withKey()
	h["X-Worker-Id"], h["X-Build-Id"], h["Content-Type"] = "w1", id, "application/json"
	if gzipped {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		_, _ = z.Write([]byte(body)) // a buffer takes all
		_ = z.Close()
		h["Content-Encoding"], body = "gzip", buf.String()
	}
	return f.do(http.MethodPost, "/api/builds/"+id+"/telemetry", strings.NewReader(body), h)
}

const snapshot = `{"type":"cpu_snapshot","timestamp":"2026-01-28T10:00:00Z","data":{"cpu_percent":99.5,"memory_mb":1024}}`

// samples gives those that the stream holds, at least n.
func (f *farm) samples(n int) (all []*eventsv1.Telemetry) {
	f.t.Helper()
	stream, err := f.js.Stream(f.t.Context(), bus.TelemetryStream)
	if err != nil {
		f.t.Fatal(err)
	}
	var info *jetstream.StreamInfo
	eventually(f.t, "samples in the stream", func() bool {
		info, err = stream.Info(f.t.Context())
		return err == nil && info.State.Msgs >= uint64(n)
	})
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(f.t.Context(), seq)
		if err != nil {
			f.t.Fatal(err)
		}
		s := &eventsv1.Telemetry{}
		if err := proto.Unmarshal(m.Data, s); err != nil {
			f.t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func TestSamplesGoOntoTheBus(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.building()
	for _, zipped := range []bool{false, true} {
		if r := f.measure(id, snapshot, zipped).want(t, 200); strings.TrimSpace(string(r.body)) != `{"status":"ok"}` {
			t.Errorf("answer = %s", r.body)
		}
	}
	f.measure(id, `{"type":"cpu_snapshot","data":{}}`, false).want(t, 200) // nothing was measured
	f.measure(id, `{"type":"heartbeat","data":{"metrics":{"disk_percent":5}}}`, false).want(t, 200)
	all := f.samples(3)
	if len(all) != 3 {
		t.Fatalf("%d samples, want 3: %v", len(all), all)
	}
	for _, s := range all[:2] {
		if s.GetBuildId() != id || s.GetWorkerId() != "w1" || s.GetAttempt() != 1 || s.GetStage() != "install" || s.GetCpuPercent() != 99.5 ||
			s.GetMemoryMb() != 1024 || !s.GetMemoryUnreliable() {
			t.Errorf("sample = %v", s)
		}
	}
	if s := all[2]; s.CpuPercent != nil || s.GetDiskPercent() != 5 {
		t.Errorf("sample = %v", s)
	}
}

// TestLostBuildTakesNoSamples: what the gateway remembers of a holder ends with the event that ends the lease.
func TestLostBuildTakesNoSamples(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.building()
	f.measure(id, snapshot, false).want(t, 200)
	f.measure(id, snapshot, false).want(t, 200)
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State, b.WorkerId, b.Attempt = string(build.Pending), "", 2 })
	m, err := bus.NewMessage(t.Context(), "scheduler", bus.BuildSubject(id, bus.Retried), time.Now(), &eventsv1.BuildRetried{BuildId: id})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := bus.PublishAll(t.Context(), f.js, []bus.Message{m}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "refusal", func() bool { return f.measure(id, snapshot, false).status == http.StatusForbidden })
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Logf("refused after %s: by the memory's age, not by the event, or on a slow machine", took)
	}
}

// TestSamplesAreLeftOutFirst: when the bus takes no more samples, their posts are answered as ever, and they are counted.
func TestSamplesAreLeftOutFirst(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.MaxSamples = 1 })
	id := f.building()
	if err := f.js.DeleteStream(t.Context(), bus.TelemetryStream); err != nil { // nobody acknowledges: the window fills
		t.Fatal(err)
	}
	for range 50 {
		f.measure(id, snapshot, false).want(t, 200)
	}
	kv, err := f.js.KeyValue(t.Context(), bus.HeartbeatBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(t.Context(), bus.LeaseKey("w1", id, 1)); err != nil {
		t.Errorf("no heartbeat: %v", err)
	}
	f.stop()
	if !f.log.contains("the bus accepts fewer than arrive") {
		t.Error("the loss is not in the log")
	}
}

func TestTelemetryV2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	asked := make(chan *monitorv1.TelemetryRequest, 10)
	serve(t, f.bus.Connect("monitor"), "monitor", func(s *rpc.Service) error {
		return rpc.Handle(s, "telemetry", func(_ context.Context, r *monitorv1.TelemetryRequest) (*monitorv1.TelemetryResponse, error) {
			asked <- r
			return &monitorv1.TelemetryResponse{ResolutionSeconds: 5, Points: []*monitorv1.TelemetryPoint{
				{AtMs: 1_700_000_000_000, Attempt: 1, Stage: "compile", Samples: 2, CpuPercent: proto.Float64(250), CpuPercentMax: proto.Float64(400)},
			}}, nil
		})
	})
	id, token := f.submit(platform("ios"), source())
	path := "/api/v2/builds/" + id + "/telemetry"
	m := f.do(http.MethodGet, path+"?from=2026-11-26T10:00:00Z&resolution=5", nil, hdr{"X-Build-Token": token}).want(t, 200).json(t)
	if r := <-asked; r.GetBuildId() != id || r.GetFromMs() != 1_795_687_200_000 || r.GetToMs() != 0 || r.GetResolutionSeconds() != 5 {
		t.Errorf("asked %v", r)
	}
	points, _ := m["points"].([]any)
	p, _ := points[0].(map[string]any)
	if m["resolution"] != 5.0 || p["at"] != "2023-11-14T22:13:20Z" || p["cpu_percent"] != 250.0 || p["cpu_percent_max"] != 400.0 || p["memory_mb"] != nil {
		t.Errorf("answer = %v", m)
	}
	for query, status := range map[string]int{"?from=yesterday": 400, "?resolution=-1": 400, "?resolution=1e3": 400, "?till=x": 400} {
		f.get(path+query).want(t, status)
	}
	f.get("/api/v2/builds/none/telemetry").want(t, 404)
	f.do(http.MethodGet, path, nil, nil).want(t, 401)
}
