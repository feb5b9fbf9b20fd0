package soak

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/idle"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// load is what works against the server. Its methods are safe for concurrent use.
type load struct {
	plan   Plan
	server *server
	client *api.Client
	source []byte
	hook   *hook

	submits, posts, lines, tails, failed atomic.Int64

	mu     sync.Mutex
	builds []string
	fault  error // the first
}

func newLoad(p Plan, s *server) (*load, error) {
	client, err := api.New(api.Config{BaseURL: s.url, Key: key})
	if err != nil {
		return nil, err
	}
	source, err := project()
	return &load{plan: p, server: s, client: client, source: source}, err
}

func project() ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	f, err := z.Create("package.json")
	if err == nil {
		_, err = f.Write([]byte(`{"name":"soak"}`))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("make a source: %w", err)
	}
	return buf.Bytes(), nil
}

// run has everything work until ctx ends, and returns when it has stopped.
func (l *load) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { l.submitLoop(ctx) })
	for n := range l.plan.Former {
		all.Go(func() { l.formerLoop(ctx, n) })
	}
	for range l.plan.Tails {
		all.Go(func() { l.tailLoop(ctx) })
	}
}

// failure counts what should not happen; what breaks off because the load ends is none.
func (l *load) failure(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	l.failed.Add(1)
	l.plan.Log.WarnContext(ctx, "failure", "err", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
	}
}

func (l *load) submitLoop(ctx context.Context) {
	for pause(ctx, l.plan.Pause) {
		l.failure(ctx, l.submit(ctx, "android"))
	}
}

// submit continues when the load ends: a build whose acknowledgement was cut off could not be counted.
func (l *load) submit(ctx context.Context, platform string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	project := fmt.Sprintf("app-%d", rand.IntN(20))
	sub, err := l.client.Builds.Submit(ctx, api.Submit{Platform: platform, Project: project, Source: bytes.NewReader(l.source), SourceName: "app.zip"})
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	l.submits.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.builds = append(l.builds, sub.ID)
	return nil
}

// recent is how far back somebody looks for a log to follow.
const recent = 20

func (l *load) aBuild() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.builds[max(0, len(l.builds)-recent):]
	if len(last) == 0 {
		return ""
	}
	return last[rand.IntN(len(last))]
}

// tailLoop follows one log after the other, some to their end and some not.
func (l *load) tailLoop(ctx context.Context) {
	for pause(ctx, time.Second) {
		id := l.aBuild()
		if id == "" {
			continue
		}
		stay, leave := context.WithTimeout(ctx, rand.N(l.plan.Stay)+time.Millisecond)
		_, err := l.client.Builds.FollowLog(stay, id, func(api.LogLine) error { l.lines.Add(1); return nil })
		l.failure(stay, err)
		leave()
		l.tails.Add(1)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// settle waits until every build that was acknowledged has completed, and gives those that have not. The first that takes too
// long ends the waiting for all.
func (l *load) settle(ctx context.Context, patience time.Duration) (lost []string, stuck map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	watched, end := context.WithCancel(ctx)
	var watch idle.Watch
	var watching sync.WaitGroup
	watching.Go(func() { l.watch(watched, &watch) })
	defer func() { end(); watching.Wait(); stuck = watch.Stuck() }()
	for _, id := range l.builds {
		b, e := l.client.Builds.Get(ctx, id)
		for e == nil && !b.Final() && pause(ctx, 200*time.Millisecond) {
			b, e = l.client.Builds.Get(ctx, id)
		}
		if e != nil || b.Status != "completed" {
			lost, err = append(lost, id+" "+b.Status), errors.Join(err, e)
		}
	}
	return lost, nil, err
}

// watch looks each second for builds that wait beside idle workers.
func (l *load) watch(ctx context.Context, w *idle.Watch) {
	for pause(ctx, time.Second) {
		page, err := l.client.Builds.List(ctx, api.ListOptions{Limit: 1000, Status: []string{"pending", "queued"}})
		if err != nil {
			continue
		}
		if list, err := l.client.Workers.List(ctx); err == nil {
			w.Look(time.Now(), page.Builds, list.Workers)
		}
	}
}
