package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

var (
	start   = time.UnixMilli(1_700_000_000_000)
	later   = start.Add(time.Hour)
	content = store.Content{Size: 3, SHA256: "ab", ContentType: "application/zip", WrappedKey: []byte{1, 0, 255}}
)

// TestStore runs the one suite over both databases.
func TestStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *store.Store){
		"life":              testLife,
		"missing":           testMissing,
		"one commit wins":   testOneCommitWins,
		"give up":           testGiveUp,
		"give up with two":  testGiveUpWithTwo,
		"keep all or none":  testKeepAllOrNone,
		"condemn as seen":   testCondemnAsSeen,
		"expired":           testExpired,
		"of build":          testOfBuild,
		"upload under way":  testUploadUnderWay,
		"pieces":            testPieces,
		"small":             testSmall,
		"migrate once more": func(t *testing.T, s *store.Store) { ok(t, s.Migrate(t.Context())) },
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

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Fatalf("error = %v, want %v", err, sentinel)
	}
}

func staged(t *testing.T, s *store.Store, id string) store.Object {
	t.Helper()
	o := store.Object{
		ID: id, BuildID: "b1", Attempt: 2, Kind: 1, Project: "shop", Name: "a.zip", Prefix: "shop/b1/2/source-" + id,
		State: store.Staged, CreatedAt: start, ExpiresAt: later,
	}
	ok(t, s.Stage(t.Context(), o))
	return o
}

func stored(t *testing.T, s *store.Store, id string) store.Object {
	t.Helper()
	staged(t, s, id)
	ok(t, s.Commit(t.Context(), id, "key-"+id, content, start, later))
	return get(t, s, id)
}

func get(t *testing.T, s *store.Store, id string) store.Object {
	t.Helper()
	o, err := s.Get(t.Context(), id)
	ok(t, err)
	return o
}

func gone(t *testing.T, s *store.Store, id string) {
	t.Helper()
	_, err := s.Get(t.Context(), id)
	want(t, err, store.ErrNotFound)
}

func testLife(t *testing.T, s *store.Store) {
	o := staged(t, s, "o1")
	if diff := cmp.Diff(o, get(t, s, "o1")); diff != "" {
		t.Errorf("staged: -want +got\n%s", diff)
	}
	ok(t, s.Commit(t.Context(), "o1", "the/key", content, start.Add(time.Minute), later))
	o.State, o.Key, o.Content, o.StoredAt = store.Stored, "the/key", content, start.Add(time.Minute)
	if diff := cmp.Diff(o, get(t, s, "o1")); diff != "" {
		t.Errorf("stored: -want +got\n%s", diff)
	}
	ok(t, s.Keep(t.Context(), []string{"o1"}))
	ok(t, s.Keep(t.Context(), []string{"o1"}))
	o.State, o.ExpiresAt = store.Kept, time.Time{}
	if diff := cmp.Diff(o, get(t, s, "o1")); diff != "" {
		t.Errorf("kept: -want +got\n%s", diff)
	}
	ok(t, s.Remove(t.Context(), "o1")) // not condemned: stays
	if done, err := s.Condemn(t.Context(), get(t, s, "o1")); err != nil || !done {
		t.Fatalf("Condemn = %v, %v", done, err)
	}
	ok(t, s.Remove(t.Context(), "o1"))
	gone(t, s, "o1")
}

func testMissing(t *testing.T, s *store.Store) {
	gone(t, s, "x")
	want(t, s.BeginUpload(t.Context(), "x", later), store.ErrNotStaged)
	want(t, s.Commit(t.Context(), "x", "k", content, start, later), store.ErrNotStaged)
	want(t, s.Keep(t.Context(), []string{"x"}), store.ErrNotFound)
	ok(t, s.GiveUp(t.Context(), "x", true))
	ok(t, s.ExtendUpload(t.Context(), "x", later))
	ok(t, s.Remove(t.Context(), "x"))
}

func testOneCommitWins(t *testing.T, s *store.Store) {
	staged(t, s, "o1")
	var won atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch err := s.Commit(t.Context(), "o1", "k", content, start, later); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrNotStaged):
				t.Error(err)
			}
		})
	}
	if all.Wait(); won.Load() != 1 {
		t.Errorf("%d commits won, want 1", won.Load())
	}
}

func testGiveUp(t *testing.T, s *store.Store) {
	staged(t, s, "o1")
	ok(t, s.GiveUp(t.Context(), "o1", false))
	gone(t, s, "o1")
	stored(t, s, "o2")
	ok(t, s.GiveUp(t.Context(), "o2", false))
	get(t, s, "o2")
}

func testGiveUpWithTwo(t *testing.T, s *store.Store) {
	staged(t, s, "o1")
	ok(t, s.BeginUpload(t.Context(), "o1", later))
	ok(t, s.BeginUpload(t.Context(), "o1", later))
	ok(t, s.EndUpload(t.Context(), "o1", true))
	ok(t, s.EndUpload(t.Context(), "o1", false)) // was not counted
	get(t, s, "o1")                              // the other upload still needs it
	ok(t, s.GiveUp(t.Context(), "o1", true))
	gone(t, s, "o1")
}

func testKeepAllOrNone(t *testing.T, s *store.Store) {
	stored(t, s, "o1")
	staged(t, s, "o2")
	want(t, s.Keep(t.Context(), []string{"o1", "o2"}), store.ErrNotFound)
	if got := get(t, s, "o1").State; got != store.Stored {
		t.Errorf("state = %s, want stored", got)
	}
	ok(t, s.Keep(t.Context(), nil))
}

func testCondemnAsSeen(t *testing.T, s *store.Store) {
	seen := stored(t, s, "o1")
	ok(t, s.Keep(t.Context(), []string{"o1"}))
	if done, err := s.Condemn(t.Context(), seen); err != nil || done {
		t.Errorf("Condemn of what was kept meanwhile = %v, %v", done, err)
	}
	seen = staged(t, s, "o2")
	ok(t, s.ExtendUpload(t.Context(), "o2", later.Add(time.Minute)))
	if done, err := s.Condemn(t.Context(), seen); err != nil || done {
		t.Errorf("Condemn of what was extended meanwhile = %v, %v", done, err)
	}
	if done, err := s.Condemn(t.Context(), get(t, s, "o2")); err != nil || !done {
		t.Errorf("Condemn = %v, %v", done, err)
	}
	want(t, s.Keep(t.Context(), []string{"o2"}), store.ErrNotFound)
	want(t, s.Commit(t.Context(), "o2", "k", content, start, later), store.ErrNotStaged)
}

func testExpired(t *testing.T, s *store.Store) {
	stored(t, s, "o1")
	staged(t, s, "o2")
	stored(t, s, "kept")
	ok(t, s.Keep(t.Context(), []string{"kept"}))
	stored(t, s, "condemned")
	if _, err := s.Condemn(t.Context(), get(t, s, "condemned")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now   time.Time
		limit int
		want  []string
	}{
		{later, 10, []string{"condemned"}},
		{later.Add(time.Millisecond), 10, []string{"condemned", "o1", "o2"}},
		{later.Add(time.Millisecond), 2, []string{"condemned", "o1"}},
	} {
		all, err := s.Expired(t.Context(), c.now, c.limit)
		ok(t, err)
		if diff := cmp.Diff(c.want, ids(all)); diff != "" {
			t.Errorf("Expired(%s, %d): -want +got\n%s", c.now, c.limit, diff)
		}
	}
}

func testOfBuild(t *testing.T, s *store.Store) {
	staged(t, s, "staged")
	stored(t, s, "o1")
	stored(t, s, "kept")
	ok(t, s.Keep(t.Context(), []string{"kept"}))
	all, err := s.OfBuild(t.Context(), "b1")
	ok(t, err)
	if diff := cmp.Diff([]string{"kept", "o1"}, ids(all)); diff != "" {
		t.Errorf("OfBuild: -want +got\n%s", diff)
	}
	if all, err = s.OfBuild(t.Context(), "b2"); err != nil || len(all) != 0 {
		t.Errorf("OfBuild of another = %v, %v", all, err)
	}
}

func testUploadUnderWay(t *testing.T, s *store.Store) {
	staged(t, s, "o1")
	ok(t, s.BeginUpload(t.Context(), "o1", later.Add(time.Hour)))
	ok(t, s.ExtendUpload(t.Context(), "o1", later)) // never backwards
	if got := get(t, s, "o1").ExpiresAt; !got.Equal(later.Add(time.Hour)) {
		t.Errorf("expiry = %s, want %s", got, later.Add(time.Hour))
	}
	ok(t, s.ExtendUpload(t.Context(), "o1", later.Add(2*time.Hour)))
	if got := get(t, s, "o1").ExpiresAt; !got.Equal(later.Add(2 * time.Hour)) {
		t.Errorf("expiry = %s, want %s", got, later.Add(2*time.Hour))
	}
}

func ids(all []store.Object) (out []string) {
	for _, o := range all {
		out = append(out, o.ID)
	}
	return out
}
