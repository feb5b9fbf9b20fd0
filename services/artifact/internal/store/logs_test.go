package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestLogs runs the suite of the logs' table over both databases.
func TestLogs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *store.Store){
		"life":               testLogLife,
		"due":                testLogDue,
		"one postpones":      testLogOnePostpones,
		"one archive wins":   testLogOneArchiveWins,
		"without an object":  testLogWithoutObject,
		"older than allowed": testLogScheduleOld,
		"expired":            testLogExpired,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
				s := store.New(open(t))
				ok(t, s.Migrate(t.Context()))
				test(t, s)
			})
		})
	}
}

func noted(t *testing.T, s *store.Store, id string, due time.Time) store.Log {
	t.Helper()
	ok(t, s.NoteEnded(t.Context(), id, start, due))
	return logOf(t, s, id)
}

func logOf(t *testing.T, s *store.Store, id string) store.Log {
	t.Helper()
	l, err := s.Log(t.Context(), id)
	ok(t, err)
	return l
}

func archived(l store.Log, object string) store.Log {
	l.ObjectID, l.Lines, l.ThroughSeq, l.ArchivedAt, l.DueAt = object, 7, 99, start.Add(time.Minute), later
	return l
}

func save(t *testing.T, s *store.Store, was string, l store.Log) bool {
	t.Helper()
	won, err := s.SaveArchive(t.Context(), was, l, later)
	ok(t, err)
	return won
}

func testLogLife(t *testing.T, s *store.Store) {
	_, err := s.Log(t.Context(), "b1")
	want(t, err, store.ErrNotFound)
	l := noted(t, s, "b1", later)
	ok(t, s.NoteEnded(t.Context(), "b1", later, start)) // known
	if diff := cmp.Diff(store.Log{BuildID: "b1", EndedAt: start, DueAt: later}, logOf(t, s, "b1")); diff != "" {
		t.Errorf("noted: -want +got\n%s", diff)
	}
	stored(t, s, "o1")
	first := archived(l, "o1")
	if !save(t, s, "", first) {
		t.Fatal("the archive was not saved")
	}
	if diff := cmp.Diff(first, logOf(t, s, "b1")); diff != "" || get(t, s, "o1").State != store.Kept {
		t.Errorf("archived: object %s; -want +got\n%s", get(t, s, "o1").State, diff)
	}
	stored(t, s, "o2")
	if !save(t, s, "o1", archived(l, "o2")) {
		t.Fatal("the second archive was not saved")
	}
	if o := get(t, s, "o1"); o.State != store.Stored || !o.ExpiresAt.Equal(later) {
		t.Errorf("the archive before = %s until %s, want stored until %s", o.State, o.ExpiresAt, later)
	}
	now := later.Add(time.Hour)
	if won, err := s.RemoveArchive(t.Context(), logOf(t, s, "b1"), now); err != nil || !won {
		t.Fatalf("RemoveArchive = %v, %v", won, err)
	}
	if got := logOf(t, s, "b1"); got.ObjectID != "" || !got.RemovedAt.Equal(now) || !got.DueAt.IsZero() || get(t, s, "o2").State != store.Stored {
		t.Errorf("removed: %+v", got)
	}
}

func testLogDue(t *testing.T, s *store.Store) {
	noted(t, s, "late", later)
	noted(t, s, "first", start)
	noted(t, s, "never", time.Time{})
	for _, c := range []struct {
		now   time.Time
		limit int
		want  []string
	}{{start, 9, []string{"first"}}, {later, 9, []string{"first", "late"}}, {later, 1, []string{"first"}}, {start.Add(-1 * time.Second), 9, nil}} {
		due, err := s.DueLogs(t.Context(), c.now, c.limit)
		ok(t, err)
		var got []string
		for _, l := range due {
			got = append(got, l.BuildID)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("DueLogs(%s): -want +got\n%s", c.now, diff)
		}
	}
}

func testLogOnePostpones(t *testing.T, s *store.Store) {
	seen := noted(t, s, "b1", start)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			done, err := s.Postpone(t.Context(), seen, later)
			if err != nil {
				t.Error(err)
			}
			if done {
				won.Add(1)
			}
		})
	}
	if all.Wait(); won.Load() != 1 {
		t.Errorf("%d postponed it, want 1", won.Load())
	}
}

func testLogOneArchiveWins(t *testing.T, s *store.Store) {
	l := noted(t, s, "b1", start)
	stored(t, s, "o1")
	stored(t, s, "o2")
	if !save(t, s, "", archived(l, "o1")) || save(t, s, "", archived(l, "o2")) {
		t.Error("want the first archive and not the second")
	}
	if got := logOf(t, s, "b1").ObjectID; got != "o1" || get(t, s, "o2").State != store.Stored || get(t, s, "o1").State != store.Kept {
		t.Errorf("archive = %s", got)
	}
	if won, err := s.RemoveArchive(t.Context(), l, later); err != nil || won {
		t.Errorf("RemoveArchive of what was seen before = %v, %v", won, err)
	}
	if won, err := s.Postpone(t.Context(), l, later); err != nil || won {
		t.Errorf("Postpone of what was seen before = %v, %v", won, err)
	}
}

func testLogWithoutObject(t *testing.T, s *store.Store) {
	l := noted(t, s, "b1", start)
	_, err := s.SaveArchive(t.Context(), "", archived(l, "none"), later)
	want(t, err, store.ErrNotFound)
	if diff := cmp.Diff(l, logOf(t, s, "b1")); diff != "" {
		t.Errorf("changed all the same: -want +got\n%s", diff)
	}
	stored(t, s, "o1") // of a build whose end nobody noted
	if !save(t, s, "", archived(store.Log{BuildID: "b2", EndedAt: start}, "o1")) || logOf(t, s, "b2").ObjectID != "o1" {
		t.Error("an archive without a note was not saved")
	}
}

func testLogScheduleOld(t *testing.T, s *store.Store) {
	stored(t, s, "o1")
	save(t, s, "", archived(noted(t, s, "old", start), "o1"))
	noted(t, s, "none", later)
	for _, c := range []struct {
		cut  time.Time
		want int64
	}{{start, 0}, {start.Add(time.Second), 1}, {start.Add(time.Second), 0}} {
		if n, err := s.ScheduleOld(t.Context(), c.cut, start.Add(time.Second)); err != nil || n != c.want {
			t.Errorf("Overage = %d, %v; want %d", n, err, c.want)
		}
	}
	if got := logOf(t, s, "old").DueAt; !got.Equal(start.Add(time.Second)) {
		t.Errorf("due = %s", got)
	}
}

// testLogExpired: what comes late to a build that was let go is not kept, whether its log was known or not.
func testLogExpired(t *testing.T, s *store.Store) {
	noted(t, s, "b1", later)
	for _, id := range []string{"b1", "b2"} {
		ok(t, s.ExpireLog(t.Context(), id, start))
		ok(t, s.ExpireLog(t.Context(), id, start))
		ok(t, s.NoteEnded(t.Context(), id, start, later))
		late := stored(t, s, "archive-"+id)
		if save(t, s, "", archived(logOf(t, s, id), late.ID)) {
			t.Errorf("an archive of %s was saved after the build was let go", id)
		}
		if l := logOf(t, s, id); l.ObjectID != "" || !l.DueAt.IsZero() || !l.ExpiredAt.Equal(start) {
			t.Errorf("log of %s = %+v", id, l)
		}
	}
	ok(t, s.ForgetExpired(t.Context(), start))
	logOf(t, s, "b1")
	ok(t, s.ForgetExpired(t.Context(), start.Add(time.Millisecond)))
	for _, id := range []string{"b1", "b2"} {
		_, err := s.Log(t.Context(), id)
		want(t, err, store.ErrNotFound)
	}
	if objects, bytes, err := s.Measure(t.Context(), []string{"b1"}); err != nil || objects != 2 || bytes != 2*content.Size {
		t.Errorf("Measure = %d, %d, %v", objects, bytes, err)
	}
}
