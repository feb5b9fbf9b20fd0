package database_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

var counters = fstest.MapFS{"0001_counters.sql": {Data: []byte(`-- +goose Up
CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT NOT NULL, note TEXT NOT NULL DEFAULT '');
-- +goose Down
DROP TABLE counters;
`)}}

func migrated(t *testing.T, open databasetest.Opener) *database.DB {
	t.Helper()
	db := open(t)
	if err := db.Migrate(t.Context(), counters); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `INSERT INTO counters (id, n) VALUES (1, 0)`)
	return db
}

func exec(t *testing.T, db *database.DB, q string, args ...any) {
	t.Helper()
	err := db.WithTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.ExecContext(t.Context(), q, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

func count(t *testing.T, db *database.DB, q string) (n int) {
	t.Helper()
	if err := db.Read().QueryRowContext(t.Context(), q).Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

// TestPlaceholdersOutOfOrder: on SQLite $N counts by first appearance unless it is rewritten.
func TestPlaceholdersOutOfOrder(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := migrated(t, open)
		exec(t, db, `UPDATE counters SET n = $2, note = 'costs $1' WHERE id = $1`, 1, 42)
		if got := count(t, db, `SELECT n FROM counters WHERE note = 'costs $1'`); got != 42 {
			t.Errorf("n = %d, want 42", got)
		}
	})
}

func TestRollback(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := migrated(t, open)
		boom := errors.New("boom")
		change := func(tx *database.Tx) {
			if _, err := tx.ExecContext(t.Context(), `UPDATE counters SET n = 7`); err != nil {
				t.Error(err)
			}
			if err := tx.Emit(t.Context(), database.Message{ID: "x", Subject: "s"}); err != nil {
				t.Error(err)
			}
		}
		err := db.WithTx(t.Context(), func(tx *database.Tx) error { change(tx); return boom })
		if !errors.Is(err, boom) {
			t.Errorf("WithTx = %v, want %v", err, boom)
		}
		func() {
			defer func() { _ = recover() }()
			_ = db.WithTx(t.Context(), func(tx *database.Tx) error { change(tx); panic("boom") })
		}()
		if n, out := count(t, db, `SELECT n FROM counters`), count(t, db, `SELECT count(*) FROM outbox`); n != 0 || out != 0 {
			t.Errorf("n = %d and %d messages after rollbacks, want none", n, out)
		}
	})
}

// TestNoUpdateIsLost: sixteen writers compare and set; whoever loses reads again.
func TestNoUpdateIsLost(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := migrated(t, open)
		var writers sync.WaitGroup
		for range 16 {
			writers.Go(func() {
				for range 10 {
					if err := increment(t.Context(), db); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		if got := count(t, db, `SELECT n FROM counters`); got != 160 {
			t.Errorf("n = %d, want 160", got)
		}
	})
}

func increment(ctx context.Context, db *database.DB) error {
	return db.WithTx(ctx, func(tx *database.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT n FROM counters WHERE id = 1`+tx.ForUpdate()).Scan(&n); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE counters SET n = $1 WHERE id = 1 AND n = $2`, n+1, n)
		return err
	})
}

func TestManyMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := databasetest.Postgres(t)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			db, err := database.Open(t.Context(), database.Config{URL: url, Service: "many"})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Migrate(t.Context(), counters); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for url, want := range map[string]string{
		"mysql://x":                    "scheme must be sqlite or postgres",
		"sqlite://relative.db":         "is not absolute",
		"sqlite://" + dir + "/no/x.db": "check that its directory exists and is writable",
		"sqlite://" + dir:              "check that its directory exists and is writable",
		"postgres://u:s3cret@127.0.0.1:1/db?sslmode=disable": "127.0.0.1:1",
		"postgres://u:s3cret@[::bad/db":                      "cannot be read",
	} {
		_, err := database.Open(t.Context(), database.Config{URL: url, Service: "test"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%s) = %v, want it to say %q", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Open(%s) tells the password: %v", url, err)
		}
	}
	if _, err := database.Open(t.Context(), database.Config{URL: "sqlite:///x", Service: "Bad-Name"}); !errors.Is(err, database.ErrConfig) {
		t.Errorf("Open with a bad service = %v", err)
	}
}
