package scheduler

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func eachDatabase(b *testing.B, f func(b *testing.B, db *database.DB)) {
	b.Run("sqlite", func(b *testing.B) { f(b, databasetest.Open(b, databasetest.SQLite(b))) })
	b.Run("postgres", func(b *testing.B) { f(b, databasetest.Open(b, databasetest.Postgres(b))) })
}

// idleScheduler is one that answers but does not run: nothing but what is measured happens.
func idleScheduler(b *testing.B, db *database.DB) *Scheduler {
	b.Helper()
	cfg := DefaultConfig()
	cfg.MaxWaiting = 1 << 30
	s, err := New(b.Context(), cfg, Deps{DB: db, Conn: bustest.Start(b).Connect("scheduler"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// fillQueue inserts so many waiting builds of twenty projects, and a worker with slots of which so many are busy.
func fillQueue(b *testing.B, db *database.DB, waiting, slots, busy int) {
	b.Helper()
	now := time.Now().UnixMilli()
	err := db.WithTx(b.Context(), func(tx *database.Tx) error {
		for i := range waiting + busy {
			state, worker := "pending", ""
			if i < busy {
				state, worker = "building", "mini"
			}
			_, err := tx.ExecContext(b.Context(), `INSERT INTO builds (id, project, platform, pool, state, attempt, worker_id, source, submitted_at, assigned_at)
				VALUES ($1, $2, 'ios', 'default', $3, 1, $4, '{"objectId":"o"}', $5, $5)`,
				fmt.Sprintf("build-%d", i), fmt.Sprintf("project-%d", i%20), state, worker, now)
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(b.Context(), `INSERT INTO workers (id, name, pool, platforms, slots, online, registered_at, seen_at)
			VALUES ('mini', 'mini', 'default', '', $1, 1, $2, $2)`, slots, now)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPosition is a question for one of 10,000 builds that wait, asked again and again while nothing changes.
func BenchmarkPosition(b *testing.B) {
	eachDatabase(b, func(b *testing.B, db *database.DB) {
		s := idleScheduler(b, db)
		fillQueue(b, db, 10_000, 10, 10)
		for b.Loop() {
			if _, err := (queries{s}).Get(b.Context(), &schedulerv1.GetRequest{BuildId: "build-9999"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRound is a look for what to release among 10,000 builds that wait: with every slot busy and the window full, and with one
// slot free (nothing is released: that is measured by BenchmarkDrain).
func BenchmarkRound(b *testing.B) {
	for name, busy := range map[string]int{"full farm": 50, "one free slot": 49} {
		b.Run(name, func(b *testing.B) {
			eachDatabase(b, func(b *testing.B, db *database.DB) {
				s := idleScheduler(b, db)
				fillQueue(b, db, 10_000, 50, busy)
				if name == "full farm" {
					if err := s.dispatch.Round(b.Context()); err != nil { // fills the window
						b.Fatal(err)
					}
				}
				for b.Loop() {
					if err := s.dispatch.Round(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkFinish is sixteen workers that end builds at the same moment.
func BenchmarkFinish(b *testing.B) {
	eachDatabase(b, func(b *testing.B, db *database.DB) {
		cfg := DefaultConfig()
		cfg.MaxWaiting = 1 << 30
		s := benchScheduler(b, cfg, Deps{DB: db, Conn: bustest.Start(b).Connect("scheduler"), Log: slog.New(slog.DiscardHandler)})
		ids := make(chan string, b.N)
		for range b.N {
			id := build.NewID()
			_, err := s.Submit(b.Context(), &schedulerv1.SubmitRequest{
				BuildId: id, Platform: "ios", Project: "app", Source: &eventsv1.ObjectRef{ObjectId: id},
			})
			if err != nil {
				b.Fatal(err)
			}
			ids <- id
		}
		close(ids)
		assignAll(b, db)
		b.ResetTimer()
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for id := range ids {
					_, err := s.Finish(b.Context(), "mini", &schedulerv1.FinishRequest{BuildId: id, Attempt: 1, Outcome: failed})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "finishes/s")
	})
}

// assignAll gives every build to one worker, in SQL: claims are not what is measured.
func assignAll(b *testing.B, db *database.DB) {
	b.Helper()
	err := db.WithTx(b.Context(), func(tx *database.Tx) error {
		_, err := tx.ExecContext(b.Context(), `INSERT INTO attempts (build_id, number, worker_id, worker_name, claimed_at, outcome)
			SELECT id, 1, 'mini', 'mini', submitted_at, 'running' FROM builds`)
		if err == nil {
			_, err = tx.ExecContext(b.Context(), `UPDATE builds SET state = 'building', worker_id = 'mini', assigned_at = submitted_at`)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
