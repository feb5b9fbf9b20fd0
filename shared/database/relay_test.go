package database_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// far is the far end of a relay: it keeps each id once, as the bus does, and can refuse.
type far struct {
	mu      sync.Mutex
	ids     []string
	refuse  int // how many more calls fail after taking half
	arrived chan struct{}
}

func newFar() *far { return &far{arrived: make(chan struct{}, 1)} }

func (f *far) Publish(_ context.Context, msgs []database.Message) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() {
		select {
		case f.arrived <- struct{}{}:
		default:
		}
	}()
	take := len(msgs)
	if f.refuse > 0 {
		f.refuse--
		take /= 2
	}
	for _, m := range msgs[:take] {
		if !slices.Contains(f.ids, m.ID) {
			f.ids = append(f.ids, m.ID)
		}
	}
	if take < len(msgs) || take == 0 {
		return take, errors.New("the bus is away")
	}
	return take, nil
}

func (f *far) Sync(context.Context) error { return nil }

func (f *far) got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ids)
}

// waitFor waits until the far end has n messages.
func (f *far) waitFor(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for len(f.got()) < n {
		select {
		case <-f.arrived:
		case <-deadline:
			t.Fatalf("%d messages arrived, want %d", len(f.got()), n)
		}
	}
}

// waitEmpty waits until the outbox is empty, which it is shortly after a Flush.
func waitEmpty(t *testing.T, db *database.DB) {
	t.Helper()
	poll(t, "the outbox is empty", func() bool { return count(t, db, "SELECT count(*) FROM outbox") == 0 })
}

func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after 20 s it is still not so that %s", what)
		}
	}
}

func start(t *testing.T, db *database.DB, to database.Publisher) (r *database.Relay, stop func()) {
	t.Helper()
	r = database.NewRelay(db, to, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

func emit(t *testing.T, db *database.DB, ids ...string) {
	t.Helper()
	err := db.WithTx(t.Context(), func(tx *database.Tx) error {
		for _, id := range ids {
			if err := tx.Emit(t.Context(), database.Message{ID: id, Subject: "s", Header: map[string]string{"k": "v"}, Payload: []byte{1}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRelayKeepsOrderThroughRefusals(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, to := open(t), newFar()
		to.refuse = 3
		var want []string
		for i := range 60 {
			id := fmt.Sprint(i)
			want = append(want, id)
			emit(t, db, id)
		}
		r, _ := start(t, db, to)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, to.got()); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		waitEmpty(t, db)
	})
}

func TestFlushWaitsForWhatWasEmittedBefore(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		db, to := open(t), newFar()
		r, _ := start(t, db, to)
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				for i := range 20 {
					id := fmt.Sprintf("%d-%d", g, i)
					emit(t, db, id)
					if err := r.Flush(t.Context()); err != nil {
						t.Error(err)
					}
					if !slices.Contains(to.got(), id) {
						t.Errorf("Flush returned before %s was published", id)
					}
				}
			})
		}
		all.Wait()
	})
}

func TestFlushEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t, databasetest.SQLite(t))
	r := database.NewRelay(db, newFar(), slog.New(slog.DiscardHandler)) // never run
	emit(t, db, "a")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush = %v, want the deadline", err)
	}
}

// TestAnotherRelayTakesOver: two processes share a schema; the second publishes when the first has stopped.
func TestAnotherRelayTakesOver(t *testing.T) {
	t.Parallel()
	url := databasetest.Postgres(t)
	one, two, to := databasetest.Open(t, url), databasetest.Open(t, url), newFar()
	_, stop := start(t, one, to)
	emit(t, one, "a")
	to.waitFor(t, 1)
	r, _ := start(t, two, to)
	emit(t, two, "b")
	if err := r.Flush(t.Context()); err != nil { // published by the other process's relay
		t.Fatal(err)
	}
	stop()
	emit(t, one, "c")
	to.waitFor(t, 3)
	if diff := cmp.Diff([]string{"a", "b", "c"}, to.got()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}
