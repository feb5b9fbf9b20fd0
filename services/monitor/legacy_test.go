package monitor

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestImportSnapshots: imported samples count in the mean, do not expire by age, and are exported with those measured here.
func TestImportSnapshots(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		var all []*monitorv1.Snapshot
		for i := range int64(2500) {
			all = append(all, &monitorv1.Snapshot{
				Number: i + 1, BuildId: fmt.Sprintf("b%d", i%7), AtMs: 1000 + i, CpuPercent: float64(100 + i%2*100), MemoryMb: 900,
			})
		}
		for i, want := range []*monitorv1.ImportSnapshotsResponse{{Added: 2500}, {Added: 2500}, {Present: 2500}, {Present: 2500}} {
			got, err := b.legacy().ImportSnapshots(t.Context(), &monitorv1.ImportSnapshotsRequest{Snapshots: all, Check: i%2 == 0})
			if err != nil || got.GetAdded() != want.GetAdded() || got.GetPresent() != want.GetPresent() || got.GetDiffer() != 0 {
				t.Fatalf("run %d = %v, %v, want %v", i, got, err, want)
			}
		}
		b.usageBecomes(150, 2500)
		cpu := 150.0
		b.tell(bus.TelemetrySubject("mac1", "b9"), &eventsv1.Telemetry{BuildId: "b9", Attempt: 1, WorkerId: "mac1", AtMs: 1000, CpuPercent: &cpu})
		b.usageBecomes(150, 2501)
		if got := b.exported(); len(got) != 2501 {
			t.Errorf("%d snapshots are exported, want 2501", len(got))
		}
		if err := errors.Join(b.store.Samples.Condense(t.Context(), time.Now().Add(time.Minute)), b.store.Samples.Sweep(t.Context(), time.Now()), b.store.Reports.Sweep(t.Context(), time.Now())); err != nil {
			t.Fatal(err)
		}
		if got := b.exported(); len(got) != 2500 {
			t.Errorf("after a sweep %d snapshots are exported, want the 2500 imported", len(got))
		}
		all[0].CpuPercent++
		got, err := b.legacy().ImportSnapshots(t.Context(), &monitorv1.ImportSnapshotsRequest{Snapshots: all})
		if err != nil || got.GetDiffer() != 1 || got.GetPresent() != 2499 {
			t.Errorf("with one changed = %v, %v", got, err)
		}
	})
}

func (b *bundle) exported() map[string]float64 {
	b.t.Helper()
	got, cursor := map[string]float64{}, ""
	for {
		resp, err := b.legacy().ExportSnapshots(b.t.Context(), &monitorv1.ExportSnapshotsRequest{Cursor: cursor})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, s := range resp.GetSnapshots() {
			got[fmt.Sprint(s.GetBuildId(), " ", s.GetNumber(), " ", s.GetAtMs())] = s.GetCpuPercent()
		}
		if cursor = resp.GetNext(); cursor == "" {
			return got
		}
	}
}

// TestImportReports: imported reports keep their ids and times, and do not expire by age.
func TestImportReports(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		var all []*monitorv1.Report
		for i := range int64(150) {
			all = append(all, &monitorv1.Report{
				Id: fmt.Sprintf("r%03d", i), WorkerId: "mac1", Status: "warning", RunAtMs: 1000 + i, DurationMs: 7, AutoFixed: true, ChecksJson: []byte(`[{"name":"disk"}]`),
			})
		}
		for i, want := range []*monitorv1.ImportReportsResponse{{Added: 150}, {Added: 150}, {Present: 150}, {Present: 150}} {
			got, err := b.legacy().ImportReports(t.Context(), &monitorv1.ImportReportsRequest{Reports: all, Check: i%2 == 0})
			if err != nil || got.GetAdded() != want.GetAdded() || got.GetPresent() != want.GetPresent() {
				t.Fatalf("run %d = %v, %v, want %v", i, got, err, want)
			}
		}
		if err := errors.Join(b.store.Samples.Condense(t.Context(), time.Now().Add(time.Minute)), b.store.Samples.Sweep(t.Context(), time.Now()), b.store.Reports.Sweep(t.Context(), time.Now())); err != nil {
			t.Fatal(err)
		}
		var ids, want []string
		for after := ""; ; {
			resp, err := b.legacy().ExportReports(t.Context(), &monitorv1.ExportReportsRequest{AfterId: after})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range resp.GetReports() {
				ids = append(ids, fmt.Sprint(r.GetId(), r.GetRunAtMs(), r.GetAutoFixed(), string(r.GetChecksJson())))
			}
			if after = resp.GetNextAfterId(); after == "" {
				break
			}
		}
		for _, r := range all {
			want = append(want, fmt.Sprint(r.GetId(), r.GetRunAtMs(), r.GetAutoFixed(), string(r.GetChecksJson())))
		}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("exported (-want +got):\n%s", diff)
		}
	})
}
