package store

import (
	"context"
	"fmt"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
)

// columns of a point, from the samples and from their sums alike.
const (
	fromSamples = `SELECT at - at % $1 AS t, attempt, stage, 1 AS n, memory_unreliable AS unreliable,
			coalesce(cpu_percent, 0) AS cpu_sum, CASE WHEN cpu_percent IS NULL THEN 0 ELSE 1 END AS cpu_n, cpu_percent AS cpu_max,
			coalesce(memory_mb, 0) AS mem_sum, CASE WHEN memory_mb IS NULL THEN 0 ELSE 1 END AS mem_n, memory_mb AS mem_max,
			coalesce(disk_percent, 0) AS disk_sum, CASE WHEN disk_percent IS NULL THEN 0 ELSE 1 END AS disk_n,
			coalesce(processes, 0) AS proc_sum, CASE WHEN processes IS NULL THEN 0 ELSE 1 END AS proc_n
		FROM samples WHERE build_id = $2 AND at >= $3 AND at < $4`
	fromMinutes = `SELECT minute - minute % $1, attempt, stage, samples, memory_unreliable, cpu_sum, cpu_count, cpu_max, memory_sum,
			memory_count, memory_max, disk_sum, disk_count, processes_sum, processes_count
		FROM sample_minutes WHERE build_id = $2 AND minute >= $3 AND minute < $4`
)

// Points returns what a build used in steps, oldest first, at most limit. A step with two stages is two points.
func (s *Samples) Points(ctx context.Context, buildID string, from, to time.Time, step time.Duration, limit int) ([]*monitorv1.TelemetryPoint, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT t, attempt, stage, sum(n), max(unreliable), sum(cpu_sum), sum(cpu_n), max(cpu_max),
			sum(mem_sum), sum(mem_n), max(mem_max), sum(disk_sum), sum(disk_n), sum(proc_sum), sum(proc_n)
		FROM (`+fromSamples+` UNION ALL `+fromMinutes+`) AS both_tables
		GROUP BY t, attempt, stage ORDER BY t, attempt, stage LIMIT $5`,
		step.Milliseconds(), buildID, from.UnixMilli(), to.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("telemetry of %s: %w", buildID, err)
	}
	defer rows.Close()
	var points []*monitorv1.TelemetryPoint
	for rows.Next() {
		p := &monitorv1.TelemetryPoint{}
		var cpu, mem, disk, proc sum
		var unreliable int64
		if err := rows.Scan(&p.AtMs, &p.Attempt, &p.Stage, &p.Samples, &unreliable, &cpu.sum, &cpu.n, &p.CpuPercentMax,
			&mem.sum, &mem.n, &p.MemoryMbMax, &disk.sum, &disk.n, &proc.sum, &proc.n); err != nil {
			return nil, fmt.Errorf("telemetry of %s: %w", buildID, err)
		}
		p.MemoryUnreliable = unreliable != 0
		p.CpuPercent, p.MemoryMb, p.DiskPercent, p.Processes = cpu.mean(), mem.mean(), disk.mean(), proc.mean()
		points = append(points, p)
	}
	return points, rows.Err()
}

type sum struct {
	sum float64
	n   int64
}

// mean is nil of nothing.
func (s sum) mean() *float64 {
	if s.n == 0 {
		return nil
	}
	m := s.sum / float64(s.n)
	return &m
}

// Span returns the times of a build's first and last sample; zero if there is none.
func (s *Samples) Span(ctx context.Context, buildID string) (first, last time.Time, err error) {
	var a, b *int64
	err = s.db.Read().QueryRowContext(ctx, `SELECT min(t), max(t) FROM (
		SELECT min(at) AS t FROM samples WHERE build_id = $1 UNION ALL SELECT max(at) FROM samples WHERE build_id = $1
		UNION ALL SELECT min(minute) FROM sample_minutes WHERE build_id = $1
		UNION ALL SELECT max(minute) FROM sample_minutes WHERE build_id = $1) AS ends`, buildID).Scan(&a, &b)
	if err != nil {
		return first, last, fmt.Errorf("telemetry of %s: %w", buildID, err)
	}
	if a == nil || b == nil {
		return first, last, nil
	}
	return time.UnixMilli(*a), time.UnixMilli(*b), nil
}
