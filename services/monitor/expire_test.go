package monitor

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func (b *bundle) rowsOf(table string) (n int) {
	b.t.Helper()
	if err := b.db.Read().QueryRowContext(b.t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// addImported adds a sample of a build that was imported.
func (b *bundle) addImported(buildID string) {
	b.t.Helper()
	err := b.db.WithTx(b.t.Context(), func(tx *database.Tx) error {
		_, err := tx.ExecContext(b.t.Context(), `INSERT INTO snapshots (build_id, number, at, cpu_percent, memory_mb) VALUES ($1, 1, 1, 100, 900)`, buildID)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestExpiredBuildsLeaveNoSamples, whether they are recent, condensed, or imported; what others have, and the totals,
// stay.
func TestExpiredBuildsLeaveNoSamples(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		for _, id := range []string{"b1", "b2"} {
			for i, at := range []time.Time{time.Now().Add(-30 * 24 * time.Hour), time.Now()} {
				err := b.store.Samples.Add(t.Context(), []store.Sample{{Seq: uint64(i + 1), Telemetry: &eventsv1.Telemetry{
					BuildId: id, Attempt: 1, WorkerId: "mac1", AtMs: at.UnixMilli(), CpuPercent: proto.Float64(100),
				}}}, 0)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					if err := b.store.Samples.Condense(t.Context(), time.Now().Add(-24*time.Hour)); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.addImported(id)
		}
		tables := []string{"samples", "sample_minutes", "snapshots"}
		for _, table := range tables {
			if n := b.rowsOf(table); n != 2 {
				t.Fatalf("%d rows of %s, want 2 to begin with", n, table)
			}
		}
		for range 2 {
			if _, err := b.ExpireBuilds(t.Context(), &monitorv1.ExpireBuildsRequest{BuildIds: []string{"b1", "unknown"}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, table := range tables {
			if n := b.rowsOf(table); n != 1 {
				t.Errorf("%d rows of %s are left, want that of the other build", n, table)
			}
		}
		b.usageBecomes(100, 4)
	})
}

func TestForgottenWorkersLeaveNoReports(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		for _, id := range []string{"mac1", "mac2"} {
			report := &monitorv1.Report{WorkerId: id, Status: "healthy", ChecksJson: []byte("[]")}
			if _, err := b.AddReport(t.Context(), &monitorv1.AddReportRequest{Report: report}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.ForgetWorkers(t.Context(), &monitorv1.ForgetWorkersRequest{WorkerIds: []string{"mac1"}}); err != nil {
			t.Fatal(err)
		}
		if n := b.rowsOf("reports"); n != 1 {
			t.Errorf("%d reports are left, want that of the other worker", n)
		}
	})
}

func TestExpireIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlite)
	ids := make([]string, maxExpire+1)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	_, err1 := b.ExpireBuilds(t.Context(), &monitorv1.ExpireBuildsRequest{BuildIds: ids})
	_, err2 := b.ForgetWorkers(t.Context(), &monitorv1.ForgetWorkersRequest{WorkerIds: ids})
	if !errors.Is(err1, build.ErrInvalid) || !errors.Is(err2, build.ErrInvalid) {
		t.Errorf("too many at once: %v, %v", err1, err2)
	}
}
