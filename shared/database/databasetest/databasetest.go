package databasetest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that makes databases

	"github.com/expo-free-agent/freeagent/shared/database"
)

// Opener gives an open, empty database that is closed with its test.
type Opener func(testing.TB) *database.DB

// Each runs f twice, as subtests named sqlite and postgres. Without PostgreSQL's binaries the second one fails and says what
// installs them, unless FREEAGENT_TEST_SQLITE_ONLY=1.
func Each(t *testing.T, f func(t *testing.T, open Opener)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, func(tb testing.TB) *database.DB { tb.Helper(); return Open(tb, SQLite(tb)) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, func(tb testing.TB) *database.DB { tb.Helper(); return Open(tb, Postgres(tb)) })
	})
}

// Open opens a database for the service "test" and closes it with the test.
func Open(tb testing.TB, url string) *database.DB {
	tb.Helper()
	db, err := database.Open(tb.Context(), database.Config{URL: url, Service: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close the database: %v", err)
		}
	})
	return db
}

// SQLite returns the URL of a file in a directory of the test's own.
func SQLite(tb testing.TB) string {
	tb.Helper()
	return "sqlite://" + filepath.Join(tb.TempDir(), "test.db")
}

var databases atomic.Int64 //nolint:gochecknoglobals // the cluster is the process's, so is its counter

// Postgres returns the URL of a fresh database in the process's cluster; it is dropped with the test.
func Postgres(tb testing.TB) string {
	tb.Helper()
	if os.Getenv("FREEAGENT_TEST_SQLITE_ONLY") == "1" {
		tb.Skip("FREEAGENT_TEST_SQLITE_ONLY=1: nothing is tried on PostgreSQL")
	}
	c, err := theCluster()
	if err != nil {
		tb.Fatalf("PostgreSQL for tests: %v", err)
	}
	name := fmt.Sprintf("t%d", databases.Add(1))
	admin(tb, c, "CREATE DATABASE "+name)
	tb.Cleanup(func() { admin(tb, c, "DROP DATABASE "+name+" WITH (FORCE)") })
	return c.url(name)
}

func admin(tb testing.TB, c *cluster, q string) {
	tb.Helper()
	db, err := sql.Open("pgx", c.url("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := db.ExecContext(ctx, q); err != nil {
		tb.Fatalf("%s: %v", q, err)
	}
}
