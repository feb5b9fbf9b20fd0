//go:build e2e

package cluster_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestRollingRestart restarts every process of every service, one after the other, while clients call without a second try for
// anything: none of their calls fails, and every build completes at its first attempt.
func TestRollingRestart(t *testing.T) {
	c := start(t, func(cfg *cluster.Config) { cfg.Services = []string{"FREEAGENT_DRAIN_DELAY=2s"} })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	u := &users{t: t, client: client(t, c, time.Nanosecond)}
	for range 3 {
		u.wg.Go(func() { u.build(ctx) })
	}
	u.wg.Go(func() { u.look(ctx) })
	for _, kind := range []string{"ingest", "artifact", "scheduler", "monitor"} {
		for _, p := range c.Processes() {
			if p.Kind != kind {
				continue
			}
			began := time.Now()
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
			stopped := time.Since(began)
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			if err := c.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: stopped in %s, ready again after %s", p.Name, stopped.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		}
	}
	stop()
	u.wg.Wait()
	u.settle()
	t.Logf("%d calls, %d builds", u.calls, len(u.ids))
	if len(u.ids) == 0 {
		t.Error("no build was submitted")
	}
}

// users call the gateway and note every call that fails.
type users struct {
	t      *testing.T
	client *api.Client
	wg     sync.WaitGroup

	mu    sync.Mutex
	calls int
	ids   []string
}

// called notes one call and says if it went well. What the end of the test broke is nobody's fault.
func (u *users) called(ctx context.Context, what string, err error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls++
	if err != nil && ctx.Err() == nil {
		u.t.Errorf("%s: %s: %v", time.Now().Format("15:04:05.000"), what, err)
	}
	return err == nil
}

// build submits, follows and downloads, again and again.
func (u *users) build(ctx context.Context) {
	for ctx.Err() == nil {
		sub, err := u.client.Builds.Submit(ctx, api.Submit{Platform: "android", Project: "rolling", Source: source(u.t)})
		if !u.called(ctx, "submit", err) {
			continue
		}
		u.mu.Lock()
		u.ids = append(u.ids, sub.ID)
		u.mu.Unlock()
		if b, ok := u.await(ctx, sub.ID); ok {
			u.called(ctx, "download", u.client.Builds.DownloadResult(ctx, b, io.Discard, 0, nil, nil))
			u.called(ctx, "logs", u.client.Builds.ReadLog(ctx, b.ID, func(api.LogLine) error { return nil }))
		}
	}
}

func (u *users) await(ctx context.Context, id string) (api.Build, bool) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := u.client.Builds.Get(ctx, id)
		if u.called(ctx, "status", err) && b.Final() {
			return b, true
		}
		select {
		case <-ctx.Done():
			return b, false
		case <-tick.C:
		}
	}
}

// look lists, again and again.
func (u *users) look(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		_, err := u.client.Builds.List(ctx, api.ListOptions{Limit: 20})
		u.called(ctx, "list", err)
		<-tick.C
	}
}

// settle wants every build completed by its first attempt.
func (u *users) settle() {
	ctx, cancel := context.WithTimeout(u.t.Context(), time.Minute)
	defer cancel()
	for _, id := range u.ids {
		b, ok := u.await(ctx, id)
		if !ok {
			u.t.Fatalf("build %s is %s", id, b.Status)
		}
		if b.Status != "completed" || len(b.Attempts) != 1 {
			u.t.Errorf("build %s is %s after %s", id, b.Status, fmt.Sprint(b.Attempts))
		}
	}
}
