package legacy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// tally counts the outcomes of an import.
type tally struct {
	added, present, differ int64
}

// snapshotRows is how many rows one statement inserts: SQLite allows 32,766 values.
const snapshotRows = 500

// importSnapshots adds the snapshots that do not exist, and adds them to the totals. With check it only counts.
func (s *Service) importSnapshots(ctx context.Context, all []*monitorv1.Snapshot, check bool) (t tally, err error) {
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		t = tally{}
		var sum float64
		for len(all) > 0 {
			some := all[:min(len(all), snapshotRows)]
			all = all[len(some):]
			fresh, same, err := sortSnapshots(ctx, tx, some)
			if err != nil {
				return err
			}
			t.added, t.present = t.added+int64(len(fresh)), t.present+same
			t.differ += int64(len(some)-len(fresh)) - same
			if check || len(fresh) == 0 {
				continue
			}
			if err := insertSnapshots(ctx, tx, fresh); err != nil {
				return err
			}
			for _, f := range fresh {
				sum += f.GetCpuPercent()
			}
		}
		if check || t.added == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, `UPDATE usage_totals SET cpu_sum = cpu_sum + $1, cpu_count = cpu_count + $2 WHERE id = 1`, sum, t.added)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("import snapshots: %w", err)
	}
	return t, nil
}

// sortSnapshots returns the snapshots that do not exist, and counts those that exist and are equal.
func sortSnapshots(ctx context.Context, tx *database.Tx, some []*monitorv1.Snapshot) (fresh []*monitorv1.Snapshot, same int64, err error) {
	for _, n := range some {
		var at int64
		var cpu, memory float64
		err := tx.QueryRowContext(ctx, `SELECT at, cpu_percent, memory_mb FROM snapshots WHERE build_id = $1 AND number = $2`,
			n.GetBuildId(), n.GetNumber()).Scan(&at, &cpu, &memory)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			fresh = append(fresh, n)
		case err != nil:
			return nil, 0, err
		case at == n.GetAtMs() && cpu == n.GetCpuPercent() && memory == n.GetMemoryMb():
			same++
		}
	}
	return fresh, same, nil
}

func insertSnapshots(ctx context.Context, tx *database.Tx, some []*monitorv1.Snapshot) error {
	rows, args := make([]string, len(some)), make([]any, 0, 5*len(some))
	for i, n := range some {
		rows[i] = fmt.Sprintf("($%d, $%d, $%d, $%d, $%d)", 5*i+1, 5*i+2, 5*i+3, 5*i+4, 5*i+5)
		args = append(args, n.GetBuildId(), n.GetNumber(), n.GetAtMs(), n.GetCpuPercent(), n.GetMemoryMb())
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO snapshots (build_id, number, at, cpu_percent, memory_mb) VALUES `+strings.Join(rows, ", "), args...)
	return err
}

// importReports adds the reports that do not exist, unchanged. With check it only counts.
func (s *Service) importReports(ctx context.Context, all []*monitorv1.Report, check bool) (t tally, err error) {
	err = s.db.WithTx(ctx, func(tx *database.Tx) error {
		t = tally{}
		for _, r := range all {
			var worker, checks string
			var at int64
			err := tx.QueryRowContext(ctx, `SELECT worker_id, run_at, checks FROM reports WHERE id = $1`, r.GetId()).Scan(&worker, &at, &checks)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				t.added++
				if !check {
					err = store.InsertReport(ctx, tx, r, true)
				} else {
					err = nil
				}
			case err == nil && worker == r.GetWorkerId() && at == r.GetRunAtMs() && checks == string(r.GetChecksJson()):
				t.present++
			case err == nil:
				t.differ++
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("import reports: %w", err)
	}
	return t, nil
}

// exportRows is how many snapshots a page has.
const exportRows = 2000

// place is where a page of an export ended: in imported snapshots, or in samples measured here.
type place struct {
	here                bool
	build               string
	attempt, at, number int64
}

func (p place) String() string {
	return fmt.Sprintf("%t/%s/%d/%d/%d", p.here, p.build, p.attempt, p.at, p.number)
}

// placeOf parses the text of String. Other text is the beginning.
func placeOf(cursor string) (p place) {
	parts := strings.Split(cursor, "/")
	if len(parts) != 5 {
		return place{}
	}
	p.here, p.build = parts[0] == "true", parts[1]
	for i, n := range []*int64{&p.attempt, &p.at, &p.number} {
		*n, _ = strconv.ParseInt(parts[2+i], 10, 64) // our own text
	}
	return p
}

// pageOfSnapshots returns a page of imported snapshots, then of samples measured here, whose number is 0. next is empty at the end.
func (s *Service) pageOfSnapshots(ctx context.Context, cursor string) (all []*monitorv1.Snapshot, next string, err error) {
	q, p := `SELECT build_id, 0, at, number, cpu_percent, memory_mb FROM snapshots
		WHERE (build_id, number) > ($1, $2) ORDER BY build_id, number LIMIT $3`, placeOf(cursor)
	args := []any{p.build, p.number, exportRows}
	if p.here {
		q = `SELECT build_id, attempt, at, seq, cpu_percent, coalesce(memory_mb, 0) FROM samples
			WHERE cpu_percent IS NOT NULL AND (build_id, attempt, at, seq) > ($1, $2, $3, $4)
			ORDER BY build_id, attempt, at, seq LIMIT $5`
		args = []any{p.build, p.attempt, p.at, p.number, exportRows}
	}
	rows, err := s.db.Read().QueryContext(ctx, q, args...)
	if err != nil {
		return nil, "", fmt.Errorf("read snapshots in order: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		n := &monitorv1.Snapshot{}
		if err := rows.Scan(&p.build, &p.attempt, &p.at, &p.number, &n.CpuPercent, &n.MemoryMb); err != nil {
			return nil, "", fmt.Errorf("read snapshots in order: %w", err)
		}
		n.BuildId, n.AtMs = p.build, p.at
		if !p.here {
			n.Number = p.number
		}
		all = append(all, n)
	}
	switch {
	case len(all) == exportRows:
		next = p.String()
	case !p.here:
		next = place{here: true}.String()
	}
	return all, next, rows.Err()
}
