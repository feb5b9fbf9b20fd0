package monitor

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
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
				BuildId: "b1", Attempt: 1, WorkerId: worker, AtMs: 1000, CpuPercent: &cpu, MemoryMb: proto.Float64(100),
			})
		}
		for i := range 250 {
			sample("mac1", float64(100+i%2*100))
		}
		sample("mac2", 1000) // in another's name
		sample("mac1", 1001)
		sample("mac1", -1)
		b.tell(bus.TelemetrySubject("mac1", "b1"), &eventsv1.Telemetry{BuildId: "b1", Attempt: 1, WorkerId: "mac1"}) // nothing measured
		sample("mac1", 150)
		b.usageBecomes(150, 251)
		if err := b.store.Sweep(t.Context(), time.UnixMilli(2000), time.Now()); err != nil {
			t.Fatal(err)
		}
		b.usageBecomes(150, 251) // the totals outlive the samples
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
	huge := &monitorv1.Report{WorkerId: "mac1", Status: "healthy", ChecksJson: make([]byte, maxChecks+1)}
	if _, err := b.AddReport(t.Context(), &monitorv1.AddReportRequest{Report: huge}); !errors.Is(err, build.ErrTooLarge) {
		t.Errorf("err = %v, want %v", err, build.ErrTooLarge)
	}
}
