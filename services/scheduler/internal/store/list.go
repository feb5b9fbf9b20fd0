package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Filter chooses builds of a list; what is empty does not choose.
type Filter struct {
	States                      []build.State
	Project, Platform, WorkerID string
	// BeforeSeq is the cursor: only builds submitted before that one.
	BeforeSeq int64
	// Brief leaves out what was stored of the builds, which is most of the work for a long page.
	Brief bool
}

// List gives builds newest first, at most limit.
func (s *Store) List(ctx context.Context, limit int32, f Filter) ([]Build, error) {
	where, args := []string{"1 = 1"}, []any{}
	add := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }
	if f.BeforeSeq > 0 {
		where = append(where, "seq < "+add(f.BeforeSeq))
	}
	if len(f.States) > 0 {
		marks := make([]string, len(f.States))
		for i, st := range f.States {
			marks[i] = add(st)
		}
		where = append(where, "state IN ("+strings.Join(marks, ", ")+")")
	}
	for _, c := range []struct{ column, value string }{{"project", f.Project}, {"platform", f.Platform}, {"worker_id", f.WorkerID}} {
		if c.value != "" {
			where = append(where, c.column+" = "+add(c.value))
		}
	}
	columns := buildColumns + workerName
	if f.Brief {
		columns = briefColumns + `, ''`
	}
	q := `SELECT ` + columns + ` FROM builds WHERE ` + strings.Join(where, " AND ") + ` ORDER BY seq DESC LIMIT ` + add(limit)
	rows, err := s.db.Read().QueryContext(ctx, q, args...)
	return collectNamed(rows, err, "list builds")
}

// Summary counts the builds that wait and those that are leased.
func (s *Store) Summary(ctx context.Context) (waiting, leased int64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM builds WHERE state IN ('pending', 'queued')),
		(SELECT count(*) FROM builds WHERE state IN ('assigned', 'building'))`).Scan(&waiting, &leased)
	if err != nil {
		return 0, 0, fmt.Errorf("count builds: %w", err)
	}
	return waiting, leased, nil
}

// Figures are those of the whole farm.
type Figures struct {
	Online, Waiting, Leased, CompletedSince, Ended int64
	// BuildTime is how long the ended builds took from their assignment, in all.
	BuildTime time.Duration
}

// Figures counts workers online, and builds; those completed are counted from since on.
func (s *Store) Figures(ctx context.Context, since time.Time) (f Figures, err error) {
	var ms int64
	// SQLite would look at each build that ever completed: of the two indexes that fit it takes the one on states.
	hint := ""
	if s.db.Dialect() == database.SQLite {
		hint = " INDEXED BY builds_completed"
	}
	err = s.db.Read().QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM workers WHERE online = 1),
		(SELECT count(*) FROM builds WHERE state IN ('pending', 'queued')),
		(SELECT count(*) FROM builds WHERE state IN ('assigned', 'building')),
		(SELECT count(*) FROM builds`+hint+` WHERE state = 'completed' AND finished_at >= $1),
		(SELECT coalesce(sum(ended), 0) FROM totals) + (SELECT coalesce(sum(ended), 0) FROM totals_shards),
		(SELECT coalesce(sum(build_ms), 0) FROM totals) + (SELECT coalesce(sum(build_ms), 0) FROM totals_shards)`,
		Millis(since)).Scan(&f.Online, &f.Waiting, &f.Leased, &f.CompletedSince, &f.Ended, &ms)
	if err != nil {
		return Figures{}, fmt.Errorf("count the farm's figures: %w", err)
	}
	f.BuildTime = time.Duration(ms) * time.Millisecond
	return f, nil
}

// Ended counts a worker's own attempts that completed, and that failed by the build's fault.
func (s *Store) Ended(ctx context.Context, workerID string) (completed, failed int64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM attempts WHERE worker_id = $1 AND outcome = 'completed'),
		(SELECT count(*) FROM attempts WHERE worker_id = $1 AND outcome = 'failed')`, workerID).Scan(&completed, &failed)
	if err != nil {
		return 0, 0, fmt.Errorf("count what worker %s ended: %w", workerID, err)
	}
	return completed, failed, nil
}

// Held returns the builds whose lease the worker holds.
func (s *Store) Held(ctx context.Context, workerID string) ([]Build, error) {
	rows, err := s.db.Read().QueryContext(ctx, heldBy, workerID)
	return collect(rows, err, "builds of worker "+workerID)
}

// Workers gives those online first, then the last seen, at most limit. Of those offline with one name, the last seen alone.
func (s *Store) Workers(ctx context.Context, limit int32) ([]Capacity, error) {
	return capacities(ctx, s.db, `WHERE id IN (SELECT id FROM (
			SELECT id, online, row_number() OVER (PARTITION BY name, pool ORDER BY online DESC, seen_at DESC, id DESC) AS place FROM workers
		) AS named WHERE online = 1 OR place = 1)
		ORDER BY online DESC, seen_at DESC, id LIMIT $1`, limit)
}
