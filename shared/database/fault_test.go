package database_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// publishFunc is a far end that misbehaves.
type publishFunc func(ctx context.Context, msgs []database.Message) (int, error)

func (f publishFunc) Publish(ctx context.Context, msgs []database.Message) (int, error) {
	return f(ctx, msgs)
}

// Sync: nothing more is to be done.
func (f publishFunc) Sync(context.Context) error { return nil }

// TestPublishedButNotRemoved: the answer to a publish is lost with the process; the next one publishes the same IDs again.
func TestPublishedButNotRemoved(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, to := open(t), newFar()
		emit(t, db, "a", "b", "c")
		sent := make(chan struct{}, 100)
		_, crash := start(t, db, publishFunc(func(ctx context.Context, msgs []database.Message) (int, error) {
			if _, err := to.Publish(ctx, msgs); err != nil {
				t.Error(err)
			}
			sent <- struct{}{}
			<-ctx.Done() // until the crash
			return 0, ctx.Err()
		}))
		<-sent
		crash()
		if n := count(t, db, "SELECT count(*) FROM outbox"); n != 3 {
			t.Fatalf("%d messages wait after the crash, want 3", n)
		}
		var again []string
		var mu sync.Mutex
		start(t, db, publishFunc(func(ctx context.Context, msgs []database.Message) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range msgs {
				again = append(again, m.ID)
			}
			return to.Publish(ctx, msgs)
		}))
		waitEmpty(t, db)
		mu.Lock()
		defer mu.Unlock()
		want := []string{"a", "b", "c"}
		if diff := cmp.Diff(want, again); diff != "" {
			t.Errorf("published again (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, to.got()); diff != "" {
			t.Errorf("the far end has (-want +got):\n%s", diff)
		}
	})
}

// TestPartsTakenInSilence: a far end that takes some and reports no error has not taken all.
func TestPartsTakenInSilence(t *testing.T) {
	t.Parallel()
	db, to := databasetest.Open(t, databasetest.SQLite(t)), newFar()
	emit(t, db, "a", "b", "c")
	r, _ := start(t, db, publishFunc(func(ctx context.Context, msgs []database.Message) (int, error) {
		return to.Publish(ctx, msgs[:1])
	}))
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, to.got()); diff != "" {
		t.Errorf("after Flush the far end has (-want +got):\n%s", diff)
	}
}

// TestFlushDuringItsPublish: a Flush that begins while its message is on its way ends with that publish.
func TestFlushDuringItsPublish(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, to := open(t), newFar()
		begun, finish := make(chan struct{}), make(chan struct{})
		r, _ := start(t, db, publishFunc(func(ctx context.Context, msgs []database.Message) (int, error) {
			begun <- struct{}{}
			<-finish
			return to.Publish(ctx, msgs)
		}))
		begin := time.Now()
		for i := range 30 {
			emit(t, db, fmt.Sprint(i))
			<-begun
			flushed := make(chan error, 1)
			go func() { flushed <- r.Flush(t.Context()) }()
			finish <- struct{}{}
			if err := <-flushed; err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > 10*time.Second { // 15 s and more if it waited for the next look
			t.Errorf("30 flushes took %v", took)
		}
	})
}

// TestOrderOfOneThing: writers that lock a thing's row before they emit have their messages published in the order of their
// commits, whatever the other transactions do.
func TestOrderOfOneThing(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, to := open(t), newFar()
		if err := db.Migrate(t.Context(), counters); err != nil {
			t.Fatal(err)
		}
		const things = 4
		for id := range things {
			exec(t, db, `INSERT INTO counters (id, n) VALUES ($1, 0)`, id)
		}
		to.refuse = 5
		r, _ := start(t, db, to)
		var writers sync.WaitGroup
		for w := range 8 {
			writers.Go(func() {
				for range 25 {
					if err := countAndEmit(t.Context(), db, w%things); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		last := map[int]int{}
		for _, message := range to.got() {
			var id, n int
			if _, err := fmt.Sscanf(message, "%d:%d", &id, &n); err != nil {
				t.Fatal(err)
			}
			if n != last[id]+1 {
				t.Errorf("thing %d: %d published after %d", id, n, last[id])
			}
			last[id] = n
		}
		if diff := cmp.Diff(map[int]int{0: 50, 1: 50, 2: 50, 3: 50}, last); diff != "" {
			t.Errorf("last of each thing (-want +got):\n%s", diff)
		}
	})
}

func countAndEmit(ctx context.Context, db *database.DB, id int) error {
	return db.WithTx(ctx, func(tx *database.Tx) error {
		var n int
		q := `UPDATE counters SET n = n + 1 WHERE id = $1 RETURNING n`
		if err := tx.QueryRowContext(ctx, q, id).Scan(&n); err != nil {
			return err
		}
		return tx.Emit(ctx, database.Message{ID: fmt.Sprintf("%d:%d", id, n), Subject: "s"})
	})
}

// TestLostSession: when the server drops the connection that holds the active relay's lock, one relay goes on, not none
// and not two.
func TestLostSession(t *testing.T) {
	t.Parallel()
	url := databasetest.Postgres(t)
	one, two, to := databasetest.Open(t, url), databasetest.Open(t, url), newFar()
	first, _ := start(t, one, to)
	emit(t, one, "a")
	if err := first.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, two, to)
	const holders = `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()`
	for i := range 3 {
		poll(t, "one relay holds the lock", func() bool { return count(t, one, holders) == 1 })
		count(t, one, `SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.locktype = 'advisory' AND a.datname = current_database()`)
		emit(t, one, fmt.Sprint("one", i))
		emit(t, two, fmt.Sprint("two", i))
		to.waitFor(t, 1+2*(i+1))
	}
	if diff := cmp.Diff([]string{"a", "one0", "two0", "one1", "two1", "one2", "two2"}, to.got()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// TestStandbyIsHeardAtOnce: what a process emits whose relay is on standby is published by signal, not at the next look.
func TestStandbyIsHeardAtOnce(t *testing.T) {
	t.Parallel()
	url := databasetest.Postgres(t)
	one, two, to := databasetest.Open(t, url), databasetest.Open(t, url), newFar()
	active, _ := start(t, one, to)
	emit(t, one, "a")
	if err := active.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	standby, _ := start(t, two, publishFunc(func(context.Context, []database.Message) (int, error) {
		t.Error("the relay on standby publishes")
		return 0, errors.New("not mine")
	}))
	emit(t, two, "b")
	if err := standby.Flush(t.Context()); err != nil { // it is on standby now
		t.Fatal(err)
	}
	begin := time.Now()
	for i := range 40 {
		emit(t, two, fmt.Sprint(i))
		if err := standby.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(begin)
	t.Logf("%v a flush", took/40)
	if took > 10*time.Second { // 20 s and more by looking once in a second
		t.Errorf("40 flushes took %v", took)
	}
	if n := len(to.got()); n != 42 {
		t.Errorf("%d published, want 42", n)
	}
}

// TestSmallestPool: the relay leaves even a pool of one connection to the service.
func TestSmallestPool(t *testing.T) {
	t.Parallel()
	cfg := database.Config{URL: databasetest.Postgres(t), Service: "test", MaxConns: 1}
	db, err := database.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	to := newFar()
	r, _ := start(t, db, to)
	for i := range 20 {
		emit(t, db, fmt.Sprint(i))
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(to.got()); n != 20 {
		t.Errorf("%d published, want 20", n)
	}
}

func TestEmitRefusesWhatTheBusWould(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t, databasetest.SQLite(t))
	for name, m := range map[string]database.Message{
		"no id":      {Subject: "s"},
		"no subject": {ID: "x"},
		"wildcard":   {ID: "x", Subject: "builds.*"},
		"space":      {ID: "x", Subject: "builds. a"},
		"large":      {ID: "x", Subject: "s", Payload: make([]byte, 1<<20)},
		"header":     {ID: "x", Subject: "s", Header: map[string]string{"k": strings.Repeat("v", 1<<20)}},
	} {
		err := db.WithTx(t.Context(), func(tx *database.Tx) error { return tx.Emit(t.Context(), m) })
		if !errors.Is(err, database.ErrMessage) {
			t.Errorf("%s: Emit = %v, want ErrMessage", name, err)
		}
	}
}

// TestEmitMany: more than one INSERT's worth and more than a relay's batch, in order.
func TestEmitMany(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, to := open(t), newFar()
		var want []string
		var msgs []database.Message
		for i := range 1203 {
			want = append(want, fmt.Sprint(i))
			msgs = append(msgs, database.Message{ID: want[i], Subject: "s"})
		}
		err := db.WithTx(t.Context(), func(tx *database.Tx) error { return tx.Emit(t.Context(), msgs...) })
		if err != nil {
			t.Fatal(err)
		}
		r, _ := start(t, db, to)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, to.got()); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
	})
}

// syncFunc is a far end whose Sync is the test's.
type syncFunc struct {
	*far
	sync func() error
}

func (s syncFunc) Sync(context.Context) error { return s.sync() }

// TestNothingLeavesBeforeItIsDurable: what is published stays in the outbox until the far end has synced it, and if that
// fails it is published again. Meanwhile others go on, and nobody who flushes waits for it.
func TestNothingLeavesBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, to := open(t), newFar()
		syncing, outcome := make(chan struct{}), make(chan error)
		r, _ := start(t, db, syncFunc{to, func() error {
			select {
			case syncing <- struct{}{}:
			case <-t.Context().Done():
			}
			select {
			case err := <-outcome:
				return err
			case <-t.Context().Done():
				return t.Context().Err()
			}
		}})
		emit(t, db, "a")
		<-syncing
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		emit(t, db, "b") // goes out beside it
		to.waitFor(t, 2)
		if n := count(t, db, "SELECT count(*) FROM outbox"); n != 2 {
			t.Errorf("%d messages in the outbox, want both", n)
		}
		outcome <- errors.New("the disk is on fire")
		<-syncing // of both, published again
		if n := count(t, db, "SELECT count(*) FROM outbox"); n != 2 {
			t.Errorf("%d messages in the outbox after a failed sync, want both", n)
		}
		outcome <- nil
		waitEmpty(t, db)
		if diff := cmp.Diff([]string{"a", "b"}, to.got()); diff != "" {
			t.Errorf("the far end has (-want +got):\n%s", diff)
		}
	})
}
