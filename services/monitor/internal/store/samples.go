package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Samples is the tables of telemetry: samples, and their sums by the minute.
type Samples struct{ base }

// Sample is one message of telemetry. Seq is its place in the stream; with the time it identifies a repeat.
type Sample struct {
	*eventsv1.Telemetry

	Seq uint64
}

var sampleColumns = []string{ //nolint:gochecknoglobals // a constant
	"build_id", "attempt", "at", "seq", "worker_id", "stage", "cpu_percent", "memory_mb", "memory_unreliable", "disk_percent", "processes",
}

func (t Sample) row() []any {
	return []any{
		t.GetBuildId(), int64(t.GetAttempt()), t.GetAtMs(), int64(t.Seq), t.GetWorkerId(), t.GetStage(),
		t.CpuPercent, t.MemoryMb, bit(t.GetMemoryUnreliable()), t.DiskPercent, t.Processes,
	}
}

// Add stores samples, counts those that are new into the totals, and dropped beside them, in one transaction.
func (s *Samples) Add(ctx context.Context, samples []Sample, dropped int64) error {
	rows := make([][]any, len(samples))
	for i, t := range samples {
		rows[i] = t.row()
	}
	err := database.ErrDialect
	if s.db.Dialect() == database.PostgreSQL && len(rows) > 0 {
		err = s.copySamples(ctx, samples, rows, dropped)
	}
	if errors.Is(err, database.ErrDialect) || errors.Is(err, database.ErrDuplicate) {
		err = s.insertSamples(ctx, rows, dropped)
	}
	if err != nil {
		return fmt.Errorf("store %d samples: %w", len(samples), err)
	}
	return nil
}

// copySamples is for samples that are all new: the rule.
func (s *Samples) copySamples(ctx context.Context, samples []Sample, rows [][]any, dropped int64) error {
	sum, n := 0.0, int64(0)
	for _, t := range samples {
		if t.CpuPercent != nil {
			sum += t.GetCpuPercent()
			n++
		}
	}
	return s.db.CopyTx(ctx, "samples", sampleColumns, rows, func(tx *database.Tx) error {
		return addTotals(ctx, tx, sum, n, dropped)
	})
}

func addTotals(ctx context.Context, tx *database.Tx, sum float64, n, dropped int64) error {
	if n == 0 && dropped == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE usage_totals SET cpu_sum = cpu_sum + $1, cpu_count = cpu_count + $2, dropped = dropped + $3
		WHERE id = 1`, sum, n, dropped)
	return err
}

// insertSamples leaves out what is there already.
func (s *Samples) insertSamples(ctx context.Context, rows [][]any, dropped int64) error {
	return s.db.WithTx(ctx, func(tx *database.Tx) error {
		sum, n := 0.0, int64(0)
		for rest := rows; len(rest) > 0; {
			part := rest[:chunk(len(rest))]
			rest = rest[len(part):]
			partSum, partN, err := insertPart(ctx, tx, part)
			if err != nil {
				return err
			}
			sum, n = sum+partSum, n+partN
		}
		return addTotals(ctx, tx, sum, n, dropped)
	})
}

// chunk is the largest power of two within n and 256: the statements have as many texts, and no more.
func chunk(n int) int {
	size := 256
	for size > n {
		size /= 2
	}
	return size
}

func insertPart(ctx context.Context, tx *database.Tx, part [][]any) (sum float64, n int64, err error) {
	args := make([]any, 0, len(part)*len(sampleColumns))
	for _, row := range part {
		args = append(args, row...)
	}
	rows, err := tx.QueryContext(ctx, `INSERT INTO samples (`+strings.Join(sampleColumns, ", ")+`)
		VALUES `+marks(len(part), len(sampleColumns))+` ON CONFLICT DO NOTHING RETURNING cpu_percent`, args...)
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

// marks is ($1, $2, ...), (...) for so many rows.
func marks(rows, columns int) string {
	var b strings.Builder
	for i := range rows {
		for j := range columns {
			switch {
			case j > 0:
				b.WriteString(", ")
			case i > 0:
				b.WriteString("), (")
			default:
				b.WriteString("(")
			}
			fmt.Fprintf(&b, "$%d", i*columns+j+1)
		}
	}
	b.WriteString(")")
	return b.String()
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Usage returns the mean of all CPU samples in percent of one core, how many there were, and how many samples were dropped.
func (s *Samples) Usage(ctx context.Context) (mean float64, n, dropped int64, err error) {
	var sum float64
	err = s.db.Read().QueryRowContext(ctx, `SELECT cpu_sum, cpu_count, dropped FROM usage_totals WHERE id = 1`).Scan(&sum, &n, &dropped)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("read the totals: %w", err)
	}
	if n > 0 {
		mean = sum / float64(n)
	}
	return mean, n, dropped, nil
}

// slice is how much time one transaction of Condense covers.
const slice = 10 * time.Minute

const condense = `INSERT INTO sample_minutes (build_id, attempt, minute, stage, samples, memory_unreliable, cpu_sum, cpu_count, cpu_max,
		memory_sum, memory_count, memory_max, disk_sum, disk_count, processes_sum, processes_count)
	SELECT build_id, attempt, at - at % 60000, stage, count(*), max(memory_unreliable), coalesce(sum(cpu_percent), 0), count(cpu_percent),
		max(cpu_percent), coalesce(sum(memory_mb), 0), count(memory_mb), max(memory_mb), coalesce(sum(disk_percent), 0), count(disk_percent),
		coalesce(sum(processes), 0), count(processes)
	FROM samples WHERE at >= $1 AND at < $2 GROUP BY build_id, attempt, at - at % 60000, stage
	ON CONFLICT (build_id, attempt, minute, stage) DO UPDATE SET
		samples = sample_minutes.samples + excluded.samples,
		memory_unreliable = CASE WHEN excluded.memory_unreliable > sample_minutes.memory_unreliable THEN 1 ELSE sample_minutes.memory_unreliable END,
		cpu_sum = sample_minutes.cpu_sum + excluded.cpu_sum, cpu_count = sample_minutes.cpu_count + excluded.cpu_count,
		cpu_max = CASE WHEN sample_minutes.cpu_max > excluded.cpu_max THEN sample_minutes.cpu_max ELSE coalesce(excluded.cpu_max, sample_minutes.cpu_max) END,
		memory_sum = sample_minutes.memory_sum + excluded.memory_sum, memory_count = sample_minutes.memory_count + excluded.memory_count,
		memory_max = CASE WHEN sample_minutes.memory_max > excluded.memory_max THEN sample_minutes.memory_max ELSE coalesce(excluded.memory_max, sample_minutes.memory_max) END,
		disk_sum = sample_minutes.disk_sum + excluded.disk_sum, disk_count = sample_minutes.disk_count + excluded.disk_count,
		processes_sum = sample_minutes.processes_sum + excluded.processes_sum,
		processes_count = sample_minutes.processes_count + excluded.processes_count`

// Condense turns the samples from before t into sums by the minute, whole minutes only. Each sample is in one of the two
// tables at any time. Two monitors that do so at once do it one after the other.
func (s *Samples) Condense(ctx context.Context, t time.Time) error {
	end := t.Truncate(time.Minute).UnixMilli()
	for {
		var first *int64
		err := s.db.Read().QueryRowContext(ctx, `SELECT min(at) FROM samples WHERE at < $1`, end).Scan(&first)
		if err != nil {
			return fmt.Errorf("look for old samples: %w", err)
		}
		if first == nil {
			return nil
		}
		if err := s.condense(ctx, *first, min(*first-*first%60000+slice.Milliseconds(), end)); err != nil {
			return fmt.Errorf("condense samples: %w", err)
		}
	}
}

func (s *Samples) condense(ctx context.Context, from, to int64) error {
	return s.db.WithTx(ctx, func(tx *database.Tx) error {
		// The totals' row is the lock: what another condensed meanwhile is gone when we look.
		if _, err := tx.ExecContext(ctx, `UPDATE usage_totals SET dropped = dropped WHERE id = 1`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, condense, from, to); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM samples WHERE at >= $1 AND at < $2`, from, to)
		return err
	})
}

// Sweep deletes sums from before a time.
func (s *Samples) Sweep(ctx context.Context, before time.Time) error {
	return s.exec(ctx, "sweep samples", `DELETE FROM sample_minutes WHERE minute < $1`, before.UnixMilli())
}
