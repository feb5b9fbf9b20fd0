package backoff_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/expo-free-agent/freeagent/shared/backoff"
)

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := backoff.Sleep(t.Context(), time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Errorf("Sleep = %v after %s, want nil after 1h", err, time.Since(began))
		}
		why := errors.New("stopping")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		if err := backoff.Sleep(ctx, time.Hour); !errors.Is(err, why) {
			t.Errorf("Sleep of a context that ended = %v, want its cause", err)
		}
	})
}

func TestRetriesGrow(t *testing.T) {
	t.Parallel()
	r := backoff.Retries{First: 100 * time.Millisecond, Most: time.Second}
	for round := range 2 {
		for i, want := range []time.Duration{
			100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second, time.Second,
		} {
			if got := r.Next(); got < want/2 || got > want*3/2 {
				t.Errorf("round %d: wait %d = %s, want %s and at most a half more or less", round, i, got, want)
			}
		}
		r.Reset()
	}
}

// sleep lets time pass in the bubble of a synctest.
func sleep(t *testing.T, d time.Duration) {
	t.Helper()
	if err := backoff.Sleep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// TestLoop: rounds come at their time and when they are woken, one that fails is logged and does not end the loop.
func TestLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		wake := backoff.NewWaker()
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var rounds []time.Duration
		ended := make(chan error, 1)
		loop := backoff.Loop{Doing: "sweep", Every: time.Minute, Wake: wake.C(), AtOnce: true, Log: slog.New(slog.NewTextHandler(&out, nil))}
		go func() {
			ended <- loop.Run(ctx, func(context.Context) error {
				rounds = append(rounds, time.Since(began))
				return errors.New("no database")
			})
		}()
		synctest.Wait()
		sleep(t, 10*time.Second)
		wake.Wake()
		wake.Wake()
		synctest.Wait()
		sleep(t, time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if len(rounds) != 3 && len(rounds) != 4 || rounds[0] != 0 || rounds[1] != 10*time.Second {
			t.Errorf("rounds at %v, want them at 0s, 10s (woken once or twice) and 1m0s", rounds)
		}
		if n := strings.Count(out.String(), "round failed; the next one tries again\" doing=sweep"); n != len(rounds) {
			t.Errorf("%d rounds are logged as failed, want %d:\n%s", n, len(rounds), out.String())
		}
	})
}
