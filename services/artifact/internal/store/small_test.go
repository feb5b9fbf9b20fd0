package store_test

import (
	"bytes"
	"testing"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
)

func testSmall(t *testing.T, s *store.Store) {
	o := store.Object{
		ID: "o1", BuildID: "b1", Kind: 1, Name: "a.zip", State: store.Stored, CreatedAt: start, StoredAt: start, ExpiresAt: later,
		Content: store.Content{Size: 3, SHA256: "ab", ContentType: "application/zip", Small: []byte{0, 255, 1}},
	}
	for i, want := range []bool{true, false} {
		if put, err := s.Put(t.Context(), o); err != nil || put != want {
			t.Errorf("Put %d = %v, %v, want %v", i, put, err, want)
		}
	}
	if got := get(t, s, "o1"); !got.HasBytes() || got.Key != "" || got.Size != 3 || !got.StoredAt.Equal(start) {
		t.Errorf("row = %+v", got)
	}
	wantBytes(t, s, "o1", o.Small)

	// An upload that turned out to be small; empty is small too.
	staged(t, s, "o2")
	ok(t, s.Commit(t.Context(), "o2", "", store.Content{Small: []byte{}}, start, later))
	want(t, s.Commit(t.Context(), "o2", "", store.Content{Small: []byte("x")}, start, later), store.ErrNotStaged)
	wantBytes(t, s, "o2", nil)

	ok(t, s.Remove(t.Context(), "o1")) // not condemned: stays
	wantBytes(t, s, "o1", o.Small)
	if won, err := s.Condemn(t.Context(), get(t, s, "o1")); err != nil || !won {
		t.Fatalf("Condemn = %v, %v", won, err)
	}
	ok(t, s.Remove(t.Context(), "o1"))
	_, err := s.Bytes(t.Context(), "o1")
	want(t, err, store.ErrNotFound)
	gone(t, s, "o1")
}

func wantBytes(t *testing.T, s *store.Store, id string, want []byte) {
	t.Helper()
	if got, err := s.Bytes(t.Context(), id); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Bytes(%s) = %v, %v, want %v", id, got, err, want)
	}
}
