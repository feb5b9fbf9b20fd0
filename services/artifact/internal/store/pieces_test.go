package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
)

func testPieces(t *testing.T, s *store.Store) {
	staged(t, s, "o1")
	want(t, s.Advance(t.Context(), "o1", store.Pieces{UploadID: "u1", Received: 5}, 0, later), store.ErrMoved)
	ok(t, s.BeginPieces(t.Context(), "o1", "key", "u1", later))
	want(t, s.BeginPieces(t.Context(), "o1", "other", "u2", later), store.ErrMoved)

	one := store.Pieces{UploadID: "u1", Names: []string{"a"}, Received: 5, HashState: []byte{0, 1, 255}}
	ok(t, s.Advance(t.Context(), "o1", one, 0, later.Add(1e9)))
	want(t, s.Advance(t.Context(), "o1", one, 0, later), store.ErrMoved)
	o := get(t, s, "o1")
	if diff := cmp.Diff(one, o.Pieces); diff != "" || o.Key != "key" || !o.ExpiresAt.Equal(later.Add(1e9)) {
		t.Errorf("row = %+v, -want +got of its pieces\n%s", o, diff)
	}

	// A plain upload that fails beside it does not take the row away.
	ok(t, s.GiveUp(t.Context(), "o1", false))
	ok(t, s.Commit(t.Context(), "o1", "key", content, start, later))
	want(t, s.Advance(t.Context(), "o1", one, 5, later), store.ErrNotStaged)
	want(t, s.BeginPieces(t.Context(), "none", "key", "u", later), store.ErrNotFound)
}
