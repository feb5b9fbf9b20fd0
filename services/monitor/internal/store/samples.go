package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Sample is one message of telemetry. Seq is its place in the stream: with the time it makes a repeat known.
type Sample struct {
	*eventsv1.Telemetry

	Seq uint64
}

const sampleColumns = 11

// AddSamples stores samples and counts those that are new into the totals, in one transaction.
func (s *Store) AddSamples(ctx context.Context, samples []Sample) error {
	rows, args := make([]string, len(samples)), make([]any, 0, sampleColumns*len(samples))
	for i, t := range samples {
		marks := make([]string, sampleColumns)
		for j := range marks {
			marks[j] = fmt.Sprintf("$%d", i*sampleColumns+j+1)
		}
		rows[i] = "(" + strings.Join(marks, ", ") + ")"
		args = append(args, t.GetBuildId(), t.GetAttempt(), t.GetAtMs(), int64(t.Seq), t.GetWorkerId(), t.GetStage(), //nolint:gosec // far below
			t.CpuPercent, t.MemoryMb, bit(t.GetMemoryUnreliable()), t.DiskPercent, t.Processes)
	}
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		sum, n, err := insertSamples(ctx, tx, rows, args)
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE usage_totals SET cpu_sum = cpu_sum + $1, cpu_count = cpu_count + $2 WHERE id = 1`, sum, n)
		return err
	})
	if err != nil {
		return fmt.Errorf("store %d samples: %w", len(samples), err)
	}
	return nil
}

func insertSamples(ctx context.Context, tx *database.Tx, values []string, args []any) (sum float64, n int64, err error) {
	rows, err := tx.QueryContext(ctx, `INSERT INTO samples (build_id, attempt, at, seq, worker_id, stage, cpu_percent, memory_mb,
			memory_unreliable, disk_percent, processes) VALUES `+strings.Join(values, ", ")+`
		ON CONFLICT DO NOTHING RETURNING cpu_percent`, args...)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var cpu *float64
		if err := rows.Scan(&cpu); err != nil {
			return 0, 0, err
		}
		if cpu != nil {
			sum += *cpu
			n++
		}
	}
	return sum, n, rows.Err()
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Usage gives the mean of all CPU samples in percent of one core, and how many there were.
func (s *Store) Usage(ctx context.Context) (mean float64, n int64, err error) {
	var sum float64
	err = s.db.Read().QueryRowContext(ctx, `SELECT cpu_sum, cpu_count FROM usage_totals WHERE id = 1`).Scan(&sum, &n)
	if err != nil {
		return 0, 0, fmt.Errorf("read the totals: %w", err)
	}
	if n > 0 {
		mean = sum / float64(n)
	}
	return mean, n, nil
}

// Sweep deletes the samples from before samples, the reports from before reports; none that were taken over.
func (s *Store) Sweep(ctx context.Context, samples, reports time.Time) error {
	if err := s.exec(ctx, "sweep samples", `DELETE FROM samples WHERE at < $1`, samples.UnixMilli()); err != nil {
		return err
	}
	return s.exec(ctx, "sweep reports", `DELETE FROM reports WHERE run_at < $1 AND former = 0`, reports.UnixMilli())
}
