package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/seal"
)

func box(t *testing.T, fill byte) *seal.Box {
	t.Helper()
	b, err := seal.New(bytes.Repeat([]byte{fill}, seal.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := box(t, 1)
	for _, plain := range [][]byte{{}, []byte("secret"), bytes.Repeat([]byte("x"), 1<<20)} {
		sealed, wrapped, err := b.Seal(plain, "a")
		if err != nil {
			t.Fatal(err)
		}
		if len(plain) > 0 && bytes.Contains(sealed, plain) {
			t.Error("the plain text is in the sealed one")
		}
		got, err := b.Open(sealed, wrapped, "a")
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("Open = %d bytes, %v; want %d bytes", len(got), err, len(plain))
		}
	}
}

func TestEachObjectHasItsOwnKey(t *testing.T) {
	t.Parallel()
	b := box(t, 1)
	s1, w1, _ := b.Seal([]byte("same"), "a")
	s2, w2, _ := b.Seal([]byte("same"), "a")
	if bytes.Equal(s1, s2) || bytes.Equal(w1, w2) {
		t.Error("the same content sealed twice looks the same")
	}
	if _, err := b.Open(s1, w2, "a"); !errors.Is(err, seal.ErrTampered) {
		t.Errorf("Open with another's key = %v, want ErrTampered", err)
	}
}

func TestTampered(t *testing.T) {
	t.Parallel()
	b := box(t, 1)
	sealed, wrapped, err := b.Seal([]byte("secret"), "a")
	if err != nil {
		t.Fatal(err)
	}
	flip := func(in []byte, i int) []byte {
		out := bytes.Clone(in)
		out[i] ^= 1
		return out
	}
	for i := range sealed {
		if _, err := b.Open(flip(sealed, i), wrapped, "a"); !errors.Is(err, seal.ErrTampered) {
			t.Fatalf("Open with content byte %d altered = %v", i, err)
		}
	}
	for i := range wrapped {
		if _, err := b.Open(sealed, flip(wrapped, i), "a"); !errors.Is(err, seal.ErrTampered) {
			t.Fatalf("Open with key byte %d altered = %v", i, err)
		}
	}
	if _, err := b.Open(sealed, wrapped, "b"); !errors.Is(err, seal.ErrTampered) {
		t.Errorf("Open as another object = %v", err)
	}
	if _, err := box(t, 2).Open(sealed, wrapped, "a"); !errors.Is(err, seal.ErrTampered) {
		t.Errorf("Open under another master key = %v", err)
	}
	if _, err := b.Open(nil, nil, "a"); !errors.Is(err, seal.ErrTampered) {
		t.Errorf("Open of nothing = %v", err)
	}
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	b := box(t, 1)
	sealed, wrapped, err := b.Seal([]byte("secret"), "a")
	if err != nil {
		t.Fatal(err)
	}
	moved, err := b.Rewrap(wrapped, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Open(sealed, moved, "b"); err != nil || string(got) != "secret" {
		t.Errorf("Open of the copy = %q, %v", got, err)
	}
	if _, err := b.Open(sealed, moved, "a"); !errors.Is(err, seal.ErrTampered) {
		t.Errorf("Open of the copy under the old id = %v", err)
	}
	if _, err := b.Rewrap(wrapped, "x", "b"); !errors.Is(err, seal.ErrTampered) {
		t.Errorf("Rewrap from a wrong id = %v", err)
	}
}

func TestWrongKeyLength(t *testing.T) {
	t.Parallel()
	if _, err := seal.New(make([]byte, 16)); err == nil {
		t.Error("New took a key of 16 bytes")
	}
}
