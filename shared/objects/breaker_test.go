package objects_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/objects"
)

// TestStoreAway: a store that fails is soon not asked any more, and found again when it is back.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var well atomic.Bool
	store := setup(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if !well.Load() {
			fault(w, http.StatusServiceUnavailable, "SlowDown")
			return
		}
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	})
	if _, err := store.Stat(t.Context(), "k"); !errors.Is(err, objects.ErrAway) {
		t.Fatalf("Stat of a store that fails = %v, want ErrAway", err)
	}
	if err := store.Away(); !errors.Is(err, objects.ErrAway) {
		t.Fatalf("Away = %v", err)
	}
	before := asked.Load()
	for name, call := range map[string]func() error{
		"Stat":   func() error { _, err := store.Stat(t.Context(), "k"); return err },
		"Put":    func() error { _, err := store.Put(t.Context(), "k", strings.NewReader("x"), 1, 0); return err },
		"Get":    func() error { _, _, err := store.Get(t.Context(), "k", 0, -1); return err },
		"Delete": func() error { return store.Delete(t.Context(), "k") },
		"pieces": func() error { _, err := store.BeginPieces(t.Context(), "k"); return err },
	} {
		if err := call(); !errors.Is(err, objects.ErrAway) {
			t.Errorf("%s = %v, want ErrAway", name, err)
		}
	}
	if n := asked.Load() - before; n > 0 {
		t.Errorf("the store was asked %d times while it was away", n)
	}
	well.Store(true)
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err := store.Stat(t.Context(), "k")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Stat of a store that is back = %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
	if err := store.Away(); err != nil {
		t.Errorf("Away = %v", err)
	}
}

// TestAskersWhoLeave say nothing about the store.
func TestAskersWhoLeave(t *testing.T) {
	t.Parallel()
	store := setup(t, time.Minute, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err := store.Stat(ctx, "k"); err == nil || errors.Is(err, objects.ErrAway) {
			t.Fatalf("Stat of an asker who left = %v", err)
		}
	}
	if err := store.Away(); err != nil {
		t.Errorf("Away = %v after askers left, want nil", err)
	}
}
