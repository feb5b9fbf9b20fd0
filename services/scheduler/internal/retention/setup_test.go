package retention_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

const (
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * time.Hour
)

var start = time.UnixMilli(1_800_000_000_000).UTC()

// farm is the scheduler's schema with the other services played by neighbors.
type farm struct {
	*retention.Store
	t     *testing.T
	db    *database.DB
	clock time.Time
	*neighbors
	cfg retention.Config
}

func setup(t *testing.T, open databasetest.Opener) *farm {
	t.Helper()
	db := open(t)
	if _, err := store.New(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	cfg := retention.DefaultConfig()
	return &farm{Store: retention.NewStore(db), t: t, db: db, clock: start, neighbors: newNeighbors(), cfg: cfg}
}

func (f *farm) sweeper() *retention.Sweeper {
	return retention.NewSweeper(f.cfg, f.Store, f.neighbors, func() time.Time { return f.clock }, slog.New(slog.DiscardHandler))
}

func (f *farm) sweep() {
	f.t.Helper()
	if err := f.sweeper().Round(f.t.Context()); err != nil {
		f.t.Fatalf("Round: %v", err)
	}
}

// ended is a build of a test. Zero values: completed, project p, main branch, 1 byte.
type ended struct {
	id, project, state, branch, worker string
	age                                time.Duration
	bytes                              int64
}

func (f *farm) add(all ...ended) {
	f.t.Helper()
	err := f.db.WithTx(f.t.Context(), func(tx *database.Tx) error {
		for _, b := range all {
			if err := insert(f.t.Context(), tx, b, f.clock); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func insert(ctx context.Context, tx *database.Tx, b ended, now time.Time) error {
	if b.state == "" {
		b.state = "completed"
	}
	if b.project == "" {
		b.project = "p"
	}
	if b.worker == "" {
		b.worker = "w"
	}
	finished := now.Add(-b.age).UnixMilli()
	outcome := b.state
	if b.state == "building" || b.state == "pending" {
		finished, outcome = 0, "running"
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO builds (id, project, platform, pool, state, attempt, worker_id, branch, source, result,
			submitted_at, assigned_at, finished_at) VALUES ($1, $2, 'ios', 'default', $3, 1, $4, $5, $6, $7, $8, $8, $9)`,
		b.id, b.project, b.state, b.worker, b.branch, fmt.Sprintf(`{"objectId":"s","size":"%d"}`, b.bytes), `{"objectId":"r"}`,
		now.Add(-b.age-minute).UnixMilli(), finished)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO attempts (build_id, number, worker_id, worker_name, claimed_at, outcome)
		VALUES ($1, 1, $2, 'mac', 1, $3)`, b.id, b.worker, outcome)
	return err
}

func (f *farm) worker(id string, online int, age time.Duration) {
	f.t.Helper()
	f.exec(`INSERT INTO workers (id, name, pool, platforms, slots, online, registered_at, seen_at) VALUES ($1, 'mac', 'default', '', 1, $2, 1, $3)`,
		id, online, f.clock.Add(-age).UnixMilli())
}

func (f *farm) exec(q string, args ...any) {
	f.t.Helper()
	err := f.db.WithTx(f.t.Context(), func(tx *database.Tx) error {
		_, err := tx.ExecContext(f.t.Context(), q, args...)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// set gives a policy that has been in effect for long.
func (f *farm) set(p retention.Policy) {
	f.t.Helper()
	p.SetAt, p.EffectiveAt = f.clock.Add(-2*day), f.clock.Add(-day)
	if err := f.SetPolicy(f.t.Context(), p); err != nil {
		f.t.Fatal(err)
	}
}

// left lists the builds that there are.
func (f *farm) left() (ids []string) {
	f.t.Helper()
	return f.strings(`SELECT id FROM builds ORDER BY id`)
}

func (f *farm) traces() []string {
	f.t.Helper()
	return f.strings(`SELECT id FROM expired_builds ORDER BY id`)
}

func (f *farm) strings(q string) (all []string) {
	f.t.Helper()
	rows, err := f.db.Read().QueryContext(f.t.Context(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			f.t.Fatal(err)
		}
		all = append(all, id)
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
	return all
}

// neighbors hold a part of each build until they are told to delete it.
type neighbors struct {
	mu                          sync.Mutex
	cleaned, forgotten, workers []string
	// fail answers for a build; nil: nothing fails.
	fail func(id string) error
}

var _ retention.Neighbors = (*neighbors)(nil)

func newNeighbors() *neighbors { return &neighbors{} }

func (n *neighbors) Clean(_ context.Context, ids []string) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		if n.fail != nil {
			if err := n.fail(id); err != nil {
				return 0, err
			}
		}
	}
	n.cleaned = append(n.cleaned, ids...)
	return int64(len(ids)) * 100, nil
}

func (n *neighbors) Forget(_ context.Context, ids []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgotten = append(n.forgotten, ids...)
	return nil
}

func (n *neighbors) ForgetWorkers(_ context.Context, ids []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.workers = append(n.workers, ids...)
	return nil
}

func (n *neighbors) Measure(_ context.Context, ids []string) (int64, error) {
	return int64(len(ids)) * 100, nil
}

func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return ids
}
