package database_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// BenchmarkUpdateAndEmit is a transition as the services make it: a conditional update and an event in one transaction, from
// many goroutines on 100 rows. SQLite syncs each commit; the PostgreSQL of tests does not (fsync=off), so the two are not
// to be compared.
func BenchmarkUpdateAndEmit(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchUpdate(b, databasetest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { benchUpdate(b, databasetest.Postgres(b)) })
}

func benchUpdate(b *testing.B, url string) {
	db := databasetest.Open(b, url)
	if err := db.Migrate(b.Context(), counters); err != nil {
		b.Fatal(err)
	}
	err := db.WithTx(b.Context(), func(tx *database.Tx) error {
		for id := range 100 {
			if _, err := tx.ExecContext(b.Context(), `INSERT INTO counters (id, n) VALUES ($1, 0)`, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	b.SetParallelism(8)
	b.ResetTimer() // the cluster has started by now
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := transition(b.Context(), db, next.Add(1)); err != nil {
				b.Error(err)
			}
		}
	})
}

func transition(ctx context.Context, db *database.DB, i int64) error {
	return db.WithTx(ctx, func(tx *database.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE counters SET n = n + 1 WHERE id = $1 AND n >= $2`, i%100, 0)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return fmt.Errorf("%d rows changed, want 1: %w", n, err)
		}
		return tx.Emit(ctx, database.Message{ID: fmt.Sprint(i), Subject: "s", Payload: []byte("p")})
	})
}
