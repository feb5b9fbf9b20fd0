package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

const benchBuilds = 100_000

// BenchmarkReads is what lists and figures cost with 100,000 builds of 50 projects and 20 workers, nearly all ended.
func BenchmarkReads(b *testing.B) {
	for name, open := range map[string]func(testing.TB) string{"sqlite": databasetest.SQLite, "postgres": databasetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := databasetest.Open(b, open(b))
			s, err := store.New(b.Context(), db)
			if err != nil {
				b.Fatal(err)
			}
			fill(b, db)
			for what, read := range map[string]func(ctx context.Context) error{
				"first page of 1000": list(s, 1000, store.Filter{}),
				"brief page of 1000": list(s, 1000, store.Filter{Brief: true}),
				"deep page of 1000":  list(s, 1000, store.Filter{BeforeSeq: benchBuilds / 2}),
				"page of 50":         list(s, 50, store.Filter{}),
				"50 of a project":    list(s, 50, store.Filter{Project: "project-7"}),
				"50 of a worker":     list(s, 50, store.Filter{WorkerID: "worker-7"}),
				"50 that failed":     list(s, 50, store.Filter{States: []build.State{build.Failed}}),
				"all that wait":      list(s, 50, store.Filter{States: []build.State{build.Pending, build.Queued}}),
				"one build":          func(ctx context.Context) error { _, err := s.Build(ctx, "build-50000"); return err },
				"figures": func(ctx context.Context) error {
					_, err := s.Figures(ctx, time.Now().Truncate(24*time.Hour))
					return err
				},
				"figures without today": func(ctx context.Context) error {
					_, err := s.Figures(ctx, time.Now().AddDate(100, 0, 0))
					return err
				},
				"a worker's counts": func(ctx context.Context) error { _, _, err := s.Ended(ctx, "worker-7"); return err },
				"queue summary":     func(ctx context.Context) error { _, _, err := s.Summary(ctx); return err },
			} {
				b.Run(what, func(b *testing.B) {
					for b.Loop() {
						if err := read(b.Context()); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

func list(s *store.Store, limit int32, f store.Filter) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := s.List(ctx, limit, f)
		return err
	}
}

// fill inserts the builds and their attempts.
func fill(b *testing.B, db *database.DB) {
	b.Helper()
	now := time.Now().UnixMilli()
	err := db.WithTx(b.Context(), func(tx *database.Tx) error {
		for i := range benchBuilds {
			state := "completed"
			switch {
			case i%10 == 0:
				state = "failed"
			case i > benchBuilds-20:
				state = "pending"
			}
			id, worker, at := fmt.Sprintf("build-%d", i), fmt.Sprintf("worker-%d", i%20), now-int64(benchBuilds-i)*1000
			_, err := tx.ExecContext(b.Context(), `INSERT INTO builds (id, project, platform, pool, state, attempt, worker_id, source, submitted_at,
				assigned_at, finished_at) VALUES ($1, $2, 'ios', 'default', $3, 1, $4, $5, $6, $6, $7)`,
				id, fmt.Sprintf("project-%d", i%50), state, worker, `{"objectId":"o","size":"1000","sha256":"abc","name":"app.zip"}`, at, at+60_000)
			if err == nil {
				_, err = tx.ExecContext(b.Context(), `INSERT INTO attempts (build_id, number, worker_id, worker_name, claimed_at, outcome)
					VALUES ($1, 1, $2, 'mini', $3, $4)`, id, worker, at, state)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWorkers is the list of a farm whose Macs register anew at each start: 2,000 rows of 40 names.
func BenchmarkWorkers(b *testing.B) {
	for name, open := range map[string]func(testing.TB) string{"sqlite": databasetest.SQLite, "postgres": databasetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := databasetest.Open(b, open(b))
			s, err := store.New(b.Context(), db)
			if err != nil {
				b.Fatal(err)
			}
			err = db.WithTx(b.Context(), func(tx *database.Tx) error {
				for i := range 2000 {
					_, err := tx.ExecContext(b.Context(), `INSERT INTO workers (id, name, pool, platforms, slots, online, registered_at, seen_at)
						VALUES ($1, $2, 'default', 'ios', 1, 0, $3, $3)`, fmt.Sprint("w", i), fmt.Sprint("mini-", i%40), 1000+i)
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Workers(b.Context(), 500); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
