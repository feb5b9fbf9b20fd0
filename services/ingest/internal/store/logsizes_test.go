package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
)

func TestLogSizes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store) {
		add := func(id string, attempt int32, lines, bytes int64, at time.Time) loglimit.Limit {
			t.Helper()
			sum, err := s.AddLogSize(t.Context(), id, attempt, loglimit.Limit{Lines: lines, Bytes: bytes}, at)
			if err != nil {
				t.Fatal(err)
			}
			return sum
		}
		now := start()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := s.AddLogSize(t.Context(), "b1", 1, loglimit.Limit{Lines: 2, Bytes: 300}, now); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got, want := add("b1", 1, 1, 5<<30, now), (loglimit.Limit{Lines: 21, Bytes: 3000 + 5<<30}); got != want {
			t.Errorf("after eleven = %+v, want %+v", got, want)
		}
		if got, want := add("b1", 2, 1, 1, now.Add(time.Hour)), (loglimit.Limit{Lines: 1, Bytes: 1}); got != want {
			t.Errorf("another attempt = %+v, want %+v", got, want)
		}
		if err := s.SweepLogSizes(t.Context(), now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for attempt, want := range map[int32]int64{1: 1, 2: 2} {
			if got := add("b1", attempt, 1, 1, now); got.Lines != want {
				t.Errorf("attempt %d after the sweep = %+v, want %d lines", attempt, got, want)
			}
		}
	})
}
