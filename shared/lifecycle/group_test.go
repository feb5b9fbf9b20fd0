package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/lifecycle"
)

func group() *lifecycle.Group { return lifecycle.New(slog.New(slog.DiscardHandler)) }

func TestStopsInReverseOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	var started sync.WaitGroup
	g := group()
	for _, name := range []string{"a", "b", "c"} {
		started.Add(1)
		g.Go(name, func(ctx context.Context) error {
			started.Done()
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			if !errors.Is(context.Cause(ctx), lifecycle.ErrStopping) {
				t.Errorf("cause = %v, want ErrStopping", context.Cause(ctx))
			}
			return ctx.Err()
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { started.Wait(); cancel() }()
	if err := g.Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil after an orderly stop", err)
	}
	if diff := cmp.Diff([]string{"c", "b", "a"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestFirstFailureStopsAll(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, fail := range map[string]lifecycle.Loop{
		"error":  func(context.Context) error { return boom },
		"early":  func(context.Context) error { return nil },
		"panics": func(context.Context) error { panic("boom") },
	} {
		g := group()
		g.Go("steady", func(ctx context.Context) error { <-ctx.Done(); return nil })
		g.Go(name, fail)
		err := g.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Run = %v, want an error that names the loop", name, err)
		}
		if name == "error" && !errors.Is(err, boom) {
			t.Errorf("Run = %v, want it to wrap the cause", err)
		}
	}
}

// TestStress starts and stops groups while their loops end by themselves.
func TestStress(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		g := group()
		for n := range 10 {
			g.Go(fmt.Sprint(n), func(ctx context.Context) error {
				if n == i%20 {
					return errors.New("ends by itself")
				}
				<-ctx.Done()
				return nil
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_ = g.Run(ctx)
		cancel()
	}
}

func TestEmptyGroup(t *testing.T) {
	t.Parallel()
	if err := group().Run(t.Context()); err != nil {
		t.Errorf("Run of an empty group = %v", err)
	}
}
