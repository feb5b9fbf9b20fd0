package objectstest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/objects"
)

func testPieces(t *testing.T, s objects.Store) {
	content := Bytes(2*objects.PartSize + 100)
	p, err := s.BeginPieces(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 3)
	for _, i := range []int{1, 0, 1, 2} { // a piece may come again
		piece := content[i*objects.PartSize : min((i+1)*objects.PartSize, len(content))]
		if names[i], err = s.PutPiece(t.Context(), p, i+1, piece); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Stat(t.Context(), "a/b"); !errors.Is(err, objects.ErrNotFound) {
		t.Errorf("Stat before it is joined = %v, want %v", err, objects.ErrNotFound)
	}
	for range 2 {
		if err := s.JoinPieces(t.Context(), p, names, int64(len(content))); err != nil {
			t.Fatalf("JoinPieces = %v", err)
		}
	}
	if got, _ := get(t, s, "a/b", 0, -1); !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, not those of the pieces", len(got))
	}
	if _, err := s.PutPiece(t.Context(), p, 1, content[:10]); !errors.Is(err, objects.ErrNoUpload) {
		t.Errorf("PutPiece after it was joined = %v, want %v", err, objects.ErrNoUpload)
	}
	testDroppedPieces(t, s)
}

func testDroppedPieces(t *testing.T, s objects.Store) {
	t.Helper()
	p, err := s.BeginPieces(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	name, err := s.PutPiece(t.Context(), p, 1, Bytes(100))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.DropPieces(t.Context(), p); err != nil {
			t.Errorf("DropPieces = %v", err)
		}
	}
	if err := s.JoinPieces(t.Context(), p, []string{name}, 100); !errors.Is(err, objects.ErrNoUpload) {
		t.Errorf("JoinPieces of what was dropped = %v, want %v", err, objects.ErrNoUpload)
	}
}
