package database_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func TestRebind(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t, databasetest.SQLite(t))
	for q, want := range map[string]string{
		`a = $1 AND b = $12`:           `a = ?1 AND b = ?12`,
		`a = '$1 it''s $2' AND b = $3`: `a = '$1 it''s $2' AND b = ?3`,
		`"col$1" = $2`:                 `"col$1" = ?2`,
		"`c$1` = $2":                   "`c$1` = ?2",
		"-- it's $1\na = $2":           "-- it's $1\na = ?2",
		`/* don't $1 */ a = $2`:        `/* don't $1 */ a = ?2`,
		`a = '$1`:                      `a = '$1`,
		`a - $1 / $2 $`:                `a - ?1 / ?2 $`,
		`$name`:                        `$name`,
		``:                             ``,
	} {
		for range 2 { // the second time from memory
			if got := db.Rebind(q); got != want {
				t.Errorf("Rebind(%q) = %q, want %q", q, got, want)
			}
		}
	}
}

// TestDeadlockRunsAgain: PostgreSQL ends one of two transactions that wait for each other; both succeed in the end.
func TestDeadlockRunsAgain(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t, databasetest.Postgres(t))
	if err := db.Migrate(t.Context(), counters); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `INSERT INTO counters (id, n) VALUES (1, 0), (2, 0)`)
	var runs atomic.Int32
	var both sync.WaitGroup // each has its first row
	both.Add(2)
	var writers sync.WaitGroup
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		meet := sync.OnceFunc(func() { both.Done(); both.Wait() })
		writers.Go(func() {
			err := db.WithTx(t.Context(), func(tx *database.Tx) error {
				runs.Add(1)
				if err := add(t.Context(), tx, order[0]); err != nil {
					return err
				}
				meet()
				return add(t.Context(), tx, order[1])
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if got := count(t, db, `SELECT SUM(n) FROM counters`); got != 4 || runs.Load() < 3 {
		t.Errorf("sum %d after %d runs, want 4 after at least 3", got, runs.Load())
	}
}

func add(ctx context.Context, tx *database.Tx, id int) error {
	_, err := tx.ExecContext(ctx, `UPDATE counters SET n = n + 1 WHERE id = $1`, id)
	return err
}

// TestSkipLocked: a row that another transaction holds is left out, not waited for.
func TestSkipLocked(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := migrated(t, open)
		exec(t, db, `INSERT INTO counters (id, n) VALUES (2, 0)`)
		next := func(tx *database.Tx) (id int) {
			q := `SELECT id FROM counters ORDER BY id LIMIT 1` + tx.SkipLocked()
			if err := tx.QueryRowContext(t.Context(), q).Scan(&id); err != nil {
				t.Error(err)
			}
			return id
		}
		err := db.WithTx(t.Context(), func(outer *database.Tx) error {
			if id := next(outer); id != 1 {
				t.Errorf("first = %d, want 1", id)
			}
			if db.Dialect() == database.SQLite {
				return nil // a transaction is alone
			}
			return db.WithTx(t.Context(), func(inner *database.Tx) error {
				if id := next(inner); id != 2 {
					t.Errorf("second = %d, want 2", id)
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestMigrationsOfTheDialect: a directory named after the dialect comes before the common files.
func TestMigrationsOfTheDialect(t *testing.T) {
	t.Parallel()
	file := func(dialect string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE of_" + dialect + " (id BIGINT);\n")}
	}
	files := fstest.MapFS{"sqlite/0001_a.sql": file("sqlite"), "postgres/0001_a.sql": file("postgres")}
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := open(t)
		for range 2 { // the second time there is nothing to do
			if err := db.Migrate(t.Context(), files); err != nil {
				t.Fatal(err)
			}
		}
		count(t, db, `SELECT count(*) FROM of_`+string(db.Dialect()))
		broken := fstest.MapFS{"0002_b.sql": {Data: []byte("-- +goose Up\nCREATE NONSENSE;\n")}, "0001_a.sql": file("x")}
		if err := db.Migrate(t.Context(), broken); err == nil {
			t.Error("Migrate took nonsense")
		}
	})
}

// TestFileInUse: another process is in the middle of a write to the file for longer than we wait.
func TestFileInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "odd name %20 #1.db")
	other, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "#", "%23", " ", "%20").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	url := "sqlite://" + strings.NewReplacer("%", "%25", "#", "%23").Replace(path)
	_, err = database.Open(t.Context(), database.Config{URL: url, Service: "test"})
	if err == nil || !strings.Contains(err.Error(), "another process is using the file") {
		t.Errorf("Open = %v, want it to say that the file is in use", err)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	db := databasetest.Open(t, url)
	count(t, db, `SELECT count(*) FROM outbox`)
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 51} {
		cfg := database.Config{URL: "postgres://127.0.0.1/x", Service: "test", MaxConns: n}
		if _, err := database.Open(t.Context(), cfg); !errors.Is(err, database.ErrConfig) {
			t.Errorf("Open with %d connections = %v, want ErrConfig", n, err)
		}
	}
}

// TestMigrationsOutOfOrder: a data directory that ran 1, 2 and 4 before 3 was merged opens, and 3 runs then.
func TestMigrationsOutOfOrder(t *testing.T) {
	t.Parallel()
	files := func(numbers ...string) fstest.MapFS {
		all := fstest.MapFS{}
		for _, n := range numbers {
			all["000"+n+"_x.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE t" + n + " (id BIGINT);\n")}
		}
		return all
	}
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db := open(t)
		if err := db.Migrate(t.Context(), files("1", "2", "4")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing to do
			if err := db.Migrate(t.Context(), files("1", "2", "3", "4", "5")); err != nil {
				t.Fatal(err)
			}
		}
		count(t, db, `SELECT count(*) FROM t3`)
		count(t, db, `SELECT count(*) FROM t5`)
	})
}
