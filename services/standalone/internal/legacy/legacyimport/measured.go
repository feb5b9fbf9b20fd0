package legacyimport

import (
	"context"
	"encoding/json"
	"math"
	"slices"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	snapshotPage = 2000
	reportPage   = 100
	// reportBytes is when a batch of reports is full.
	reportBytes = 512 << 10
	maxChecks   = 256 << 10
)

func (r *run) snapshots(ctx context.Context) error {
	done := int64(0)
	for after := int64(-1); ; {
		rows, err := r.from.Snapshots(ctx, after, snapshotPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		after, done = rows[len(rows)-1].ID, done+int64(len(rows))
		req := legacyapi.Snapshots{Check: r.check}
		for _, s := range rows {
			if why, err := r.badSnapshot(ctx, s); err != nil {
				return err
			} else if why != "" {
				r.report.leave(Snapshots, s.BuildID, why, 1)
				continue
			}
			req.Snapshots = append(req.Snapshots, legacyapi.Snapshot{
				Number: s.ID, BuildID: s.BuildID, At: s.At, CPUPercent: s.CPUPercent, MemoryMB: s.MemoryMB,
			})
		}
		if err := r.tally(ctx, "snapshots", Snapshots, req, len(req.Snapshots)); err != nil {
			return err
		}
		r.tell(Snapshots, done, r.counts.Snapshots)
	}
}

func (r *run) badSnapshot(ctx context.Context, s legacydb.Snapshot) (why string, err error) {
	switch {
	case !build.ValidID(s.BuildID), s.ID <= 0:
		return "its build's id cannot be used", nil
	case math.IsNaN(s.CPUPercent), math.IsInf(s.CPUPercent, 0), math.IsNaN(s.MemoryMB), math.IsInf(s.MemoryMB, 0):
		return "it is no number", nil
	case r.counts.OrphanSnapshots == 0:
		return "", nil
	}
	if has, err := r.from.HasBuild(ctx, s.BuildID); has || err != nil {
		return "", err
	}
	return "its build is not in the database", nil
}

func (r *run) tally(ctx context.Context, what, kind string, req any, n int) error {
	if n == 0 {
		return nil
	}
	var t legacyapi.Tally
	if err := legacyapi.New(r.server).Import(ctx, what, req, &t); err != nil {
		return err
	}
	if t.Added+t.Present+t.Differ != int64(n) {
		return errShort
	}
	r.report.count(kind, added, t.Added)
	r.report.count(kind, present, t.Present)
	r.report.differ(kind, "in one batch", "they say something else there", t.Differ)
	return nil
}

func (r *run) reports(ctx context.Context) error {
	done := int64(0)
	for after := int64(-1); ; {
		rows, err := r.from.Reports(ctx, after, reportPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		after, done = rows[len(rows)-1].Row, done+int64(len(rows))
		if err := r.bringReports(ctx, rows); err != nil {
			return err
		}
		r.tell(Reports, done, r.counts.Reports)
	}
}

func (r *run) bringReports(ctx context.Context, rows []legacydb.Report) error {
	req, size := legacyapi.Reports{Check: r.check}, 0
	send := func() error {
		err := r.tally(ctx, "reports", Reports, req, len(req.Reports))
		req.Reports, size = nil, 0
		return err
	}
	for _, d := range rows {
		if why := badReport(d); why != "" {
			r.report.leave(Reports, d.ID, why, 1)
			continue
		}
		if size += len(d.Checks); size > reportBytes {
			if err := send(); err != nil {
				return err
			}
			size = len(d.Checks)
		}
		req.Reports = append(req.Reports, legacyapi.Report{
			ID: d.ID, WorkerID: d.WorkerID, Status: d.Status, RunAt: d.RunAt, DurationMs: d.DurationMs, AutoFixed: d.AutoFixed,
			Checks: json.RawMessage(d.Checks),
		})
	}
	return send()
}

func badReport(d legacydb.Report) string {
	var checks []json.RawMessage
	switch {
	case !build.ValidID(d.ID), !build.ValidID(d.WorkerID):
		return "its id, or that of its worker, cannot be used"
	case !slices.Contains([]string{"healthy", "warning", "critical"}, d.Status):
		return "its status is not known"
	case len(d.Checks) > maxChecks:
		return "its checks are longer than 256 KiB"
	case json.Unmarshal([]byte(d.Checks), &checks) != nil:
		return "its checks are no JSON array"
	}
	return ""
}
