package monitor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/reports"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/watch"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func (b *bundle) usageBecomes(mean float64, n int64) {
	b.t.Helper()
	var got *monitorv1.UsageResponse
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		var err error
		if got, err = b.Usage(b.t.Context(), &monitorv1.UsageRequest{}); err != nil {
			b.t.Fatal(err)
		}
		if math.Abs(got.GetMeanCpuPercent()-mean) < 1e-9 && got.GetSamples() == n {
			return
		}
	}
	b.t.Fatalf("usage = %v, want a mean of %v of %d", got, mean, n)
}

// TestSamplesAreCountedOnce, whatever is told again, and those that cannot be are not.
func TestSamplesAreCountedOnce(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		b.usageBecomes(0, 0)
		sample := func(worker string, cpu float64) {
			b.tell(bus.TelemetrySubject("mac1", "b1"), &eventsv1.Telemetry{
				BuildId: "b1", Attempt: 1, WorkerId: worker, CpuPercent: &cpu, MemoryMb: proto.Float64(100), MemoryUnreliable: true,
			})
		}
		for i := range 250 {
			sample("mac1", float64(100+i%2*100))
		}
		sample("mac2", 1000) // in another's name
		sample("mac1", 1001)
		sample("mac1", -1)
		sample("mac1", math.NaN())
		b.tell(bus.TelemetrySubject("mac1", "b1"), &eventsv1.Telemetry{BuildId: "b1", Attempt: 1, WorkerId: "mac1"}) // nothing measured
		sample("mac1", 150)
		b.usageBecomes(150, 251)
		usage, err := b.Usage(t.Context(), &monitorv1.UsageRequest{})
		if err != nil || usage.GetDropped() != 4 {
			t.Errorf("usage = %v, %v, want 4 dropped", usage, err)
		}
		if err := b.store.Samples.Condense(t.Context(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		b.usageBecomes(150, 251) // the totals outlive the samples
	})
}

// TestSamplesStoredAgain: a batch whose acknowledgement was lost, and that comes again among others, is there once.
func TestSamplesStoredAgain(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		base, samples := time.Now().UnixMilli(), make([]store.Sample, 700)
		for i := range samples {
			samples[i] = store.Sample{Seq: uint64(i + 1), Telemetry: &eventsv1.Telemetry{
				BuildId: "b1", Attempt: 1, WorkerId: "mac1", AtMs: base + int64(i), CpuPercent: proto.Float64(float64(i)), Processes: proto.Int64(3),
			}}
		}
		for _, part := range [][]store.Sample{samples[:400], samples[:400], samples[300:], samples} {
			if err := b.store.Samples.Add(t.Context(), part, 0); err != nil {
				t.Fatal(err)
			}
		}
		b.usageBecomes(349.5, 700)
	})
}

// tenMinutes are samples of each second, in two stages, of which every second one has CPU.
func tenMinutes(base int64) (samples []store.Sample) {
	for i := range 600 { // ten minutes, a sample each second
		x := &eventsv1.Telemetry{BuildId: "b1", Attempt: 1, WorkerId: "mac1", AtMs: base + int64(i)*1000, Stage: "install"}
		if i >= 300 {
			x.Stage = "compile"
		}
		if i%2 == 0 {
			x.CpuPercent = proto.Float64(float64(i))
		}
		x.MemoryMb = proto.Float64(float64(600 - i))
		samples = append(samples, store.Sample{Telemetry: x, Seq: uint64(i + 1)})
	}
	return samples
}

// TestPoints: means and maxima in steps, the same while samples are as they came, when half of them are condensed, and when all
// are.
func TestPoints(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		base := time.Now().Add(-time.Hour).Truncate(10 * time.Minute).UnixMilli()
		samples := tenMinutes(base)
		if err := b.store.Samples.Add(t.Context(), samples, 0); err != nil {
			t.Fatal(err)
		}
		ask := func(r *monitorv1.TelemetryRequest) *monitorv1.TelemetryResponse {
			t.Helper()
			r.BuildId = "b1"
			resp, err := b.Telemetry(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		before := ask(&monitorv1.TelemetryRequest{ResolutionSeconds: 120})
		if n := len(before.GetPoints()); n != 6 { // five steps, the third in two stages
			t.Fatalf("%d points, want 6: %v", n, before)
		}
		p := before.GetPoints()[0]
		if p.GetSamples() != 120 || p.GetCpuPercent() != 59 || p.GetCpuPercentMax() != 118 || p.GetMemoryMbMax() != 600 || p.Processes != nil {
			t.Errorf("first point = %v", p)
		}
		if r := ask(&monitorv1.TelemetryRequest{}); r.GetResolutionSeconds() != 5 || len(r.GetPoints()) != 120 {
			t.Errorf("of itself: %d points of %d s, want 120 of 5", len(r.GetPoints()), r.GetResolutionSeconds())
		}
		if r := ask(&monitorv1.TelemetryRequest{FromMs: base + 60_000, ToMs: base + 62_000, ResolutionSeconds: 1}); len(r.GetPoints()) != 2 {
			t.Errorf("a window of two seconds has %v", r)
		}
		for _, until := range []int64{300_000, 300_000, 600_000} {
			if err := b.store.Samples.Condense(t.Context(), time.UnixMilli(base+until)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, ask(&monitorv1.TelemetryRequest{ResolutionSeconds: 120}), protocmp.Transform()); diff != "" {
				t.Errorf("condensed until %d: %s", until, diff)
			}
		}
		// A sample that comes late joins the minute that is there.
		late := store.Sample{Seq: 9999, Telemetry: &eventsv1.Telemetry{
			BuildId: "b1", Attempt: 1, WorkerId: "mac1", AtMs: base + 500, Stage: "install", CpuPercent: proto.Float64(1000),
		}}
		if err := b.store.Samples.Add(t.Context(), []store.Sample{late}, 0); err != nil {
			t.Fatal(err)
		}
		if err := b.store.Samples.Condense(t.Context(), time.UnixMilli(base+600_000)); err != nil {
			t.Fatal(err)
		}
		if p := ask(&monitorv1.TelemetryRequest{ResolutionSeconds: 120}).GetPoints()[0]; p.GetSamples() != 121 || p.GetCpuPercentMax() != 1000 {
			t.Errorf("with a late sample: %v", p)
		}
		if err := b.store.Samples.Sweep(t.Context(), time.UnixMilli(base+240_000)); err != nil {
			t.Fatal(err)
		}
		if r := ask(&monitorv1.TelemetryRequest{ResolutionSeconds: 120}); len(r.GetPoints()) != 4 {
			t.Errorf("after the sweep: %v", r)
		}
	})
}

// TestTelemetryIsLife: an attempt without heartbeats lives while samples of its holder come, and of nobody else.
func TestTelemetryIsLife(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		sub := b.listen(bus.BuildSubject("b1", bus.Stalled))
		b.assign("b1", 1)
		ctx, stop := context.WithCancel(t.Context())
		var talking sync.WaitGroup
		defer talking.Wait()
		defer stop()
		sample := func(worker string) {
			m, err := bus.NewMessage(ctx, "worker", bus.TelemetrySubject(worker, "b1"), time.Now(), &eventsv1.Telemetry{
				BuildId: "b1", Attempt: 1, WorkerId: worker, Stage: "install", TtlSeconds: int32(ttl / time.Second),
			})
			if err == nil {
				_, _ = bus.PublishAll(ctx, b.js, []bus.Message{m})
			}
		}
		worker := &atomic.Value{}
		worker.Store(holder)
		talking.Go(func() {
			for ctx.Err() == nil {
				sample(worker.Load().(string))
				select {
				case <-ctx.Done():
				case <-time.After(ttl / 10):
				}
			}
		})
		b.watched("b1", func(l *store.Lease) bool { return l != nil && l.Stage == "install" && l.TTL == ttl })
		b.lifetimes(3)
		b.silent("b1")
		worker.Store("mac2") // a stranger says that it builds it
		if e := b.stalled(sub); e.GetAttempt() != 1 || e.GetStage() != "install" {
			t.Errorf("stalled = %v", e)
		}
	})
}

func (b *bundle) allowedSilence(stage string) (time.Duration, error) {
	all, err := b.store.Silences.Of(b.t.Context(), "", stage)
	return watch.AllowedSilence(all), err
}

// TestKnownSilenceIsForgiven: a stage in which a project's builds are often silent for longer than its TTL gets three times
// that.
func TestKnownSilenceIsForgiven(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		b.stage("quiet", 1, build.StageInstall)
		b.watched("quiet", func(l *store.Lease) bool { return l != nil })
		known := store.Silence{Stage: "prepare", Bucket: watch.SilenceBucket(900 * time.Millisecond), Count: watch.MinSilences - 1}
		if err := b.store.Silences.Add(t.Context(), []store.Silence{known}); err != nil {
			t.Fatal(err)
		}
		if p, err := b.allowedSilence("prepare"); p != 0 || err != nil {
			t.Errorf("allowed silence = %s, %v, want none: too little is known", p, err)
		}
		b.beat(bus.LeaseKey(holder, "quiet", 1), long, &eventsv1.Heartbeat{
			WorkerId: holder, BuildId: "quiet", Attempt: 1, Stage: "prepare", TtlSeconds: 60, SilenceMs: 900,
		})
		b.eventually("silences", func() bool {
			p, err := b.allowedSilence("prepare")
			return err == nil && p > 0
		})
		p, err := b.allowedSilence("prepare")
		if err != nil || p < 2700*time.Millisecond || p > 3300*time.Millisecond {
			t.Fatalf("allowed silence = %s, %v, want three times 900 ms, a fifth more at most", p, err)
		}
		sub := b.listen(bus.BuildSubject("b1", bus.Stalled))
		b.assign("b1", 1)
		last := b.beat(bus.LeaseKey(holder, "b1", 1), short, &eventsv1.Heartbeat{
			WorkerId: holder, BuildId: "b1", Attempt: 1, Stage: "prepare", TtlSeconds: 1,
		})
		b.stalled(sub)
		if after := time.Since(last); after < p {
			t.Errorf("stalled %s after the last beat, want no earlier than %s", after, p)
		}
	})
}

func TestReports(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		for i := range 12 {
			_, err := b.AddReport(t.Context(), &monitorv1.AddReportRequest{Report: &monitorv1.Report{
				WorkerId: "mac1", Status: "healthy", DurationMs: int64(i), AutoFixed: true, ChecksJson: fmt.Appendf(nil, `[{"n":%d}]`, i),
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		for limit, want := range map[int32]int{0: 10, 3: 3, 1000: 12} {
			resp, err := b.ListReports(t.Context(), &monitorv1.ListReportsRequest{WorkerId: "mac1", Limit: limit})
			if err != nil || len(resp.GetReports()) != want {
				t.Fatalf("ListReports(%d) = %v, %v, want %d", limit, resp, err, want)
			}
			if r := resp.GetReports()[0]; !r.GetAutoFixed() || r.GetRunAtMs() == 0 || r.GetId() == "" || r.GetStatus() != "healthy" {
				t.Errorf("report = %v", r)
			}
		}
		if resp, err := b.ListReports(t.Context(), &monitorv1.ListReportsRequest{WorkerId: "mac2"}); err != nil || len(resp.GetReports()) != 0 {
			t.Errorf("another's reports = %v, %v", resp, err)
		}
	})
}

func TestReportsThatAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	for name, r := range map[string]*monitorv1.Report{
		"status": {WorkerId: "mac1", Status: "fine", ChecksJson: []byte("[]")},
		"checks": {WorkerId: "mac1", Status: "healthy", ChecksJson: []byte("{}")},
		"worker": {Status: "healthy", ChecksJson: []byte("[]")},
	} {
		if _, err := b.AddReport(t.Context(), &monitorv1.AddReportRequest{Report: r}); !errors.Is(err, build.ErrInvalid) {
			t.Errorf("%s: err = %v, want %v", name, err, build.ErrInvalid)
		}
	}
	huge := &monitorv1.Report{WorkerId: "mac1", Status: "healthy", ChecksJson: make([]byte, reports.MaxChecks+1)}
	if _, err := b.AddReport(t.Context(), &monitorv1.AddReportRequest{Report: huge}); !errors.Is(err, build.ErrTooLarge) {
		t.Errorf("err = %v, want %v", err, build.ErrTooLarge)
	}
}
