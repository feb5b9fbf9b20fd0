package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Stats is the tables of statistics by day.
type Stats struct{ base }

// Count is the key of a count: a day, project and kind of event.
type Count struct{ Day, Project, Kind string }

// Spread is the key of a bucket of durations of a day and project.
type Spread struct {
	Day, Project, What string
	Bucket             int64
}

// Busy is the key of the work of a worker on a day for a project.
type Busy struct{ Day, Project, WorkerID string }

// Contribution is what one event adds to the statistics.
type Contribution struct {
	EventID string
	At      time.Time
	Counts  []Count
	Spreads map[Spread]int64 // milliseconds
	Busy    map[Busy]int64   // milliseconds
}

// tally is what a batch adds.
type tally struct {
	counts  map[Count]int64
	spreads map[Spread][2]int64 // count, sum
	busy    map[Busy][2]int64   // attempts, sum
}

func (t *tally) add(c Contribution) {
	for _, k := range c.Counts {
		t.counts[k]++
	}
	for k, ms := range c.Spreads {
		t.spreads[k] = [2]int64{t.spreads[k][0] + 1, t.spreads[k][1] + ms}
	}
	for k, ms := range c.Busy {
		t.busy[k] = [2]int64{t.busy[k][0] + 1, t.busy[k][1] + ms}
	}
}

// CountEvents adds the contributions of events that were not counted before, in one transaction.
func (s *Stats) CountEvents(ctx context.Context, all []Contribution) error {
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		t := tally{counts: map[Count]int64{}, spreads: map[Spread][2]int64{}, busy: map[Busy][2]int64{}}
		fresh, err := markCounted(ctx, tx, all)
		if err != nil {
			return err
		}
		for _, c := range all {
			if fresh[c.EventID] {
				delete(fresh, c.EventID) // twice in one batch
				t.add(c)
			}
		}
		return t.write(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("count %d events: %w", len(all), err)
	}
	return nil
}

// markCounted marks events as counted and returns the ids of those that were not before.
func markCounted(ctx context.Context, tx *database.Tx, all []Contribution) (map[string]bool, error) {
	fresh := map[string]bool{}
	for rest := all; len(rest) > 0; {
		part := rest[:chunk(len(rest))]
		rest = rest[len(part):]
		args := make([]any, 0, 2*len(part))
		for _, c := range part {
			args = append(args, c.EventID, c.At.UnixMilli())
		}
		if err := markPart(ctx, tx, len(part), args, fresh); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

func markPart(ctx context.Context, tx *database.Tx, n int, args []any, fresh map[string]bool) error {
	rows, err := tx.QueryContext(ctx, `INSERT INTO counted_events (id, at) VALUES `+marks(n, 2)+` ON CONFLICT DO NOTHING RETURNING id`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		fresh[id] = true
	}
	return rows.Err()
}

// write upserts in a fixed order, so that two monitors do not wait for each other in a circle.
func (t *tally) write(ctx context.Context, tx *database.Tx) error {
	for _, k := range sorted(t.counts, func(k Count) string { return k.Day + k.Project + " " + k.Kind }) {
		if _, err := tx.ExecContext(ctx, `INSERT INTO day_counts (day, project, kind, count) VALUES ($1, $2, $3, $4)
			ON CONFLICT (day, project, kind) DO UPDATE SET count = day_counts.count + excluded.count`, k.Day, k.Project, k.Kind, t.counts[k]); err != nil {
			return err
		}
	}
	for _, k := range sorted(t.spreads, func(k Spread) string { return fmt.Sprintf("%s%s %s %9d", k.Day, k.Project, k.What, k.Bucket) }) {
		v := t.spreads[k]
		if _, err := tx.ExecContext(ctx, `INSERT INTO day_spreads (day, project, what, bucket, count, sum_ms) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (day, project, what, bucket) DO UPDATE SET count = day_spreads.count + excluded.count, sum_ms = day_spreads.sum_ms + excluded.sum_ms`,
			k.Day, k.Project, k.What, k.Bucket, v[0], v[1]); err != nil {
			return err
		}
	}
	for _, k := range sorted(t.busy, func(k Busy) string { return k.Day + k.Project + " " + k.WorkerID }) {
		v := t.busy[k]
		if _, err := tx.ExecContext(ctx, `INSERT INTO day_workers (day, project, worker_id, attempts, busy_ms) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (day, project, worker_id) DO UPDATE SET attempts = day_workers.attempts + excluded.attempts, busy_ms = day_workers.busy_ms + excluded.busy_ms`,
			k.Day, k.Project, k.WorkerID, v[0], v[1]); err != nil {
			return err
		}
	}
	return nil
}

func sorted[K comparable, V any](m map[K]V, key func(K) string) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int { return strings.Compare(key(a), key(b)) })
	return keys
}

// Range chooses statistics: days, both inclusive, and a project (empty: all).
type Range struct{ From, To, Project string }

func (r Range) args() []any { return []any{r.From, r.To, r.Project} }

const inRange = ` WHERE day >= $1 AND day <= $2 AND ($3 = '' OR project = $3)`

// Counts returns sums by day and kind.
func (s *Stats) Counts(ctx context.Context, r Range) (map[Count]int64, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT day, kind, sum(count) FROM day_counts`+inRange+` GROUP BY day, kind`, r.args()...)
	if err != nil {
		return nil, fmt.Errorf("read the days' counts: %w", err)
	}
	defer rows.Close()
	all := map[Count]int64{}
	for rows.Next() {
		var k Count
		var n int64
		if err := rows.Scan(&k.Day, &k.Kind, &n); err != nil {
			return nil, fmt.Errorf("read the days' counts: %w", err)
		}
		all[k] = n
	}
	return all, rows.Err()
}

// Spreads returns sums by day, what and bucket: count and milliseconds.
func (s *Stats) Spreads(ctx context.Context, r Range) (map[Spread][2]int64, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT day, what, bucket, sum(count), sum(sum_ms) FROM day_spreads`+inRange+`
		GROUP BY day, what, bucket`, r.args()...)
	if err != nil {
		return nil, fmt.Errorf("read the days' durations: %w", err)
	}
	defer rows.Close()
	all := map[Spread][2]int64{}
	for rows.Next() {
		var k Spread
		var v [2]int64
		if err := rows.Scan(&k.Day, &k.What, &k.Bucket, &v[0], &v[1]); err != nil {
			return nil, fmt.Errorf("read the days' durations: %w", err)
		}
		all[k] = v
	}
	return all, rows.Err()
}

// mostWorkers is how many workers are returned.
const mostWorkers = 500

// WorkersBusy returns sums by worker, the busiest first.
func (s *Stats) WorkersBusy(ctx context.Context, r Range) (ids []string, attempts, busyMs []int64, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT worker_id, sum(attempts), sum(busy_ms) FROM day_workers`+inRange+`
		GROUP BY worker_id ORDER BY 3 DESC, 1 LIMIT $4`, append(r.args(), mostWorkers)...)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the workers' days: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var n, ms int64
		if err := rows.Scan(&id, &n, &ms); err != nil {
			return nil, nil, nil, fmt.Errorf("read the workers' days: %w", err)
		}
		ids, attempts, busyMs = append(ids, id), append(attempts, n), append(busyMs, ms)
	}
	return ids, attempts, busyMs, rows.Err()
}

// ForgetCounted deletes the ids of events from before t, which the stream has dropped as well.
func (s *Stats) ForgetCounted(ctx context.Context, t time.Time) error {
	return s.exec(ctx, "sweep counted events", `DELETE FROM counted_events WHERE at < $1`, t.UnixMilli())
}

// CountedBetween returns how many events of a time were counted.
func (s *Stats) CountedBetween(ctx context.Context, from, to time.Time) (n int64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM counted_events WHERE at >= $1 AND at < $2`, from.UnixMilli(), to.UnixMilli()).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("look at counted events: %w", err)
	}
	return n, nil
}

// Forget deletes the statistics of days since from, and that their events were counted, so that they can be counted again.
func (s *Stats) Forget(ctx context.Context, from time.Time) error {
	day := from.UTC().Format(time.DateOnly)
	err := s.db.WithTx(ctx, func(tx *database.Tx) error {
		for _, table := range []string{"day_counts", "day_spreads", "day_workers"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE day >= $1`, day); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM counted_events WHERE at >= $1`, from.UTC().Truncate(24*time.Hour).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the figures since %s: %w", day, err)
	}
	return nil
}
