package database_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// together runs every f in a transaction of its own, so that they share a commit: the first one holds the connection until
// the others stand behind it.
//
// A panic that reaches the caller of WithTx is given as errPanic.
func together(t *testing.T, db *database.DB, fs ...func(context.Context, *database.Tx) error) []error {
	t.Helper()
	errs := make([]error, len(fs))
	inside, go_ := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	enter := sync.OnceFunc(func() { close(inside) }) // it runs again if the commit is undone
	all.Go(func() {
		if err := db.WithTx(t.Context(), func(*database.Tx) error { enter(); <-go_; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-inside
	for i, f := range fs {
		all.Go(func() {
			defer func() {
				if recover() != nil {
					errs[i] = errPanic
				}
			}()
			errs[i] = db.WithTx(t.Context(), func(tx *database.Tx) error { return f(t.Context(), tx) })
		})
		poll(t, "the next one waits", func() bool { return db.Queued() == int64(i+1) })
	}
	close(go_)
	all.Wait()
	return errs
}

func onSQLite(t *testing.T) *database.DB {
	t.Helper()
	db := databasetest.Open(t, databasetest.SQLite(t))
	if err := db.Migrate(t.Context(), counters); err != nil {
		t.Fatal(err)
	}
	return db
}

var errPanic = errors.New("a transaction panicked")

func insert(id int) func(context.Context, *database.Tx) error {
	return func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO counters (id, n) VALUES ($1, 0)`, id)
		if err == nil {
			err = tx.Emit(ctx, database.Message{ID: fmt.Sprint(id), Subject: "s"})
		}
		return err
	}
}

// TestOneFailsAloneInASharedCommit: what it wrote is gone, and nothing else.
func TestOneFailsAloneInASharedCommit(t *testing.T) {
	t.Parallel()
	db := onSQLite(t)
	mine := errors.New("changed my mind")
	errs := together(t, db, insert(10), func(ctx context.Context, tx *database.Tx) error {
		if err := insert(11)(ctx, tx); err != nil {
			return err
		}
		return mine
	}, insert(12))
	if errs[0] != nil || !errors.Is(errs[1], mine) || errs[2] != nil {
		t.Errorf("errors = %v, want that of the second alone", errs)
	}
	if n := count(t, db, `SELECT count(*) FROM counters WHERE id IN (10, 12)`); n != 2 {
		t.Errorf("%d rows of the others, want 2", n)
	}
	if n := count(t, db, `SELECT count(*) FROM counters WHERE id = 11`) + count(t, db, `SELECT count(*) FROM outbox WHERE id = '11'`); n != 0 {
		t.Errorf("%d rows of the one that failed, want none", n)
	}
}

// TestFaultThatUndoesTheWholeCommit: after some faults (a full disk) SQLite takes back the transaction with everybody's
// part. Who caused it is told, the others run again.
func TestFaultThatUndoesTheWholeCommit(t *testing.T) {
	t.Parallel()
	db := onSQLite(t)
	exec(t, db, `INSERT INTO counters (id, n) VALUES (7, 0)`)
	errs := together(t, db, insert(10), func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR ROLLBACK INTO counters (id, n) VALUES (7, 1)`)
		return err
	}, insert(12))
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors = %v, want one of the second alone", errs)
	}
	if n := count(t, db, `SELECT count(*) FROM counters WHERE id IN (10, 12)`); n != 2 {
		t.Errorf("%d rows of the others, want 2", n)
	}
}

// TestWhoLeavesTheQueueStrandsNobody: a caller whose context ends while it waits is the last one, and those before it have
// left the commit to it.
func TestWhoLeavesTheQueueStrandsNobody(t *testing.T) {
	t.Parallel()
	db := onSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	inside, go_ := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	var first, second error
	all.Go(func() {
		first = db.WithTx(t.Context(), func(tx *database.Tx) error { close(inside); <-go_; return insert(10)(t.Context(), tx) })
	})
	<-inside
	all.Go(func() {
		second = db.WithTx(ctx, func(tx *database.Tx) error { return insert(11)(ctx, tx) })
	})
	poll(t, "the second one waits", func() bool { return db.Queued() == 1 })
	cancel()
	close(go_)
	all.Wait()
	if first != nil || !errors.Is(second, context.Canceled) {
		t.Errorf("errors = %v and %v, want none and the context's", first, second)
	}
	if n := count(t, db, `SELECT count(*) FROM counters WHERE id IN (10, 11)`); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestPanicInASharedCommit: it reaches its caller, and the others' parts stay.
func TestPanicInASharedCommit(t *testing.T) {
	t.Parallel()
	db := onSQLite(t)
	errs := together(t, db, insert(10), func(ctx context.Context, tx *database.Tx) error {
		if err := insert(11)(ctx, tx); err != nil {
			return err
		}
		panic("on purpose")
	}, insert(12))
	if errs[0] != nil || !errors.Is(errs[1], errPanic) || errs[2] != nil {
		t.Errorf("errors = %v, want the panic of the second alone", errs)
	}
	if err := db.WithTx(t.Context(), func(tx *database.Tx) error { return insert(13)(t.Context(), tx) }); err != nil {
		t.Errorf("after a panic: %v", err)
	}
	if n := count(t, db, `SELECT count(*) FROM counters WHERE id IN (10, 11, 12, 13)`); n != 3 {
		t.Errorf("%d rows, want 3: all but that of the panic", n)
	}
}

// TestCloseWhileOthersWrite: what was answered with success is there, everybody is answered.
func TestCloseWhileOthersWrite(t *testing.T) {
	t.Parallel()
	where := databasetest.SQLite(t)
	db := databasetest.Open(t, where)
	if err := db.Migrate(t.Context(), counters); err != nil {
		t.Fatal(err)
	}
	const writers = 8
	done, first := make([]int, writers), make(chan struct{})
	begun := sync.OnceFunc(func() { close(first) })
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := 0; ; n++ {
				if err := db.WithTx(t.Context(), func(tx *database.Tx) error { return insert(100_000*(w+1)+n)(t.Context(), tx) }); err != nil {
					return
				}
				done[w]++
				begun()
			}
		})
	}
	<-first
	if err := db.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	all.Wait()
	want := 0
	for _, n := range done {
		want += n
	}
	if got := count(t, databasetest.Open(t, where), `SELECT count(*) FROM counters WHERE id >= 100000`); got != want {
		t.Errorf("%d rows after Close, want the %d that were answered", got, want)
	}
}
