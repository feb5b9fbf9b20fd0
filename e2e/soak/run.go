package soak

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Report is what was seen and what it means.
type Report struct {
	Began    time.Time     `json:"began"`
	For      time.Duration `json:"for_ns"`
	Submits  int           `json:"submits"`
	Posts    int64         `json:"posts"`
	Tails    int64         `json:"tails"`
	Lines    int64         `json:"tailed_lines"`
	Failures int64         `json:"failures"`
	// FirstFailure of those.
	FirstFailure string `json:"first_failure,omitempty"`
	// Deliveries is of how many builds the webhook heard.
	Deliveries int `json:"deliveries"`
	// Lost are builds that were acknowledged and did not complete.
	Lost []string `json:"lost"`
	// Stuck are builds that waited while workers were idle.
	Stuck map[string]string `json:"stuck,omitempty"`
	// Cores is how much of a core the server used.
	Cores    float64   `json:"cores"`
	Measures []Measure `json:"measures"`
	// Broken promises.
	Broken  []string `json:"broken"`
	Samples []Sample `json:"samples"`
}

// patience is for builds under way when the load ends.
const patience = 2 * time.Minute

// Run soaks a server of its own and gives the report. An error means that it could not; a report may come with it.
func Run(ctx context.Context, p Plan) (r Report, err error) {
	if err := p.validate(); err != nil {
		return r, err
	}
	life, end := context.WithCancel(ctx)
	defer end()
	s, err := p.up(life)
	if err != nil {
		return r, err
	}
	all := sync.WaitGroup{}
	defer func() {
		end()
		all.Wait()
		if e := s.ended(life); e != nil {
			err = errors.Join(err, e)
		}
	}()
	l, err := newLoad(p, s)
	if err != nil {
		return r, err
	}
	if err := l.surround(life, &all); err != nil {
		return r, err
	}
	return l.soak(ctx)
}

// surround starts workers and the far end of the webhook, which outlive the load.
func (l *load) surround(ctx context.Context, all *sync.WaitGroup) (err error) {
	if l.hook, err = newHook(ctx); err != nil {
		return err
	}
	all.Go(func() { l.failure(ctx, l.hook.run(ctx, l.plan.Log)) })
	if err := l.hook.register(ctx, l.server); err != nil {
		return err
	}
	for n := range l.plan.Workers {
		w, err := l.plan.worker(ctx, l.server, n+1)
		if err != nil {
			return err
		}
		all.Go(func() { l.failure(ctx, w.ended(ctx)) })
	}
	return nil
}

func (l *load) soak(ctx context.Context) (Report, error) {
	r := Report{Began: time.Now(), For: l.plan.For, Broken: []string{}, Lost: []string{}}
	working, stop := context.WithTimeout(ctx, l.plan.For)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { l.run(working) })
	err := l.observe(working, &r)
	if err != nil {
		stop()
	}
	running.Wait()
	if err := errors.Join(err, ctx.Err()); err != nil {
		return r, err
	}
	lost, stuck, err := l.settle(ctx, patience)
	r.Stuck = stuck
	if err == nil {
		l.awaitHook(ctx, len(l.builds)-len(lost))
	}
	r.Lost, r.Submits, r.Posts, r.Tails, r.Lines = append(r.Lost, lost...), len(l.builds), l.posts.Load(), l.tails.Load(), l.lines.Load()
	r.Deliveries, r.Failures = l.hook.count(), l.failed.Load()
	if l.fault != nil {
		r.FirstFailure = l.fault.Error()
	}
	r.Measures = judge(r.Samples)
	first, last := r.Samples[0], r.Samples[len(r.Samples)-1]
	r.Cores = float64(last.CPUMillis-first.CPUMillis) / 1000 / max(1, float64(last.Second-first.Second))
	r.Broken = append(r.Broken, r.verdict()...)
	return r, err
}

// awaitHook gives deliveries under way their time; what is missing then is for the verdict.
func (l *load) awaitHook(ctx context.Context, want int) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	waiting := true
	for waiting && l.hook.count() < want {
		waiting = pause(ctx, 200*time.Millisecond)
	}
}

// observe takes samples until ctx ends, and profiles of the heap after each third.
func (l *load) observe(ctx context.Context, r *Report) error {
	tick := time.NewTicker(l.plan.Every)
	defer tick.Stop()
	third, profiles := l.plan.For/3, 1
	for {
		select {
		case <-ctx.Done():
			if len(r.Samples) < leastSamples-1 {
				return fmt.Errorf("%d looks at the server are too few: %w", len(r.Samples), ctx.Err())
			}
			return nil
		case <-l.server.done:
			return errors.New("the server has ended")
		case <-tick.C:
		}
		sample, err := l.server.look(ctx, r.Began)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err != nil {
			continue // it was cut off by the end
		}
		sample.Builds = l.submits.Load()
		r.Samples = append(r.Samples, sample)
		l.plan.Log.InfoContext(ctx, "sample", "second", sample.Second, "rss_mib", sample.RSSKiB>>10, "heap_mib", sample.HeapKiB>>10,
			"goroutines", sample.Goroutines, "files", sample.Files, "builds", sample.Builds)
		// The last is taken somewhat before the end, while the load is still on.
		if at := time.Since(r.Began); at >= third*time.Duration(profiles) || profiles == 3 && at >= l.plan.For-2*l.plan.Every {
			err := l.server.keepProfile(ctx, "heap", filepath.Join(l.plan.Dir, fmt.Sprintf("heap-%d.pprof", profiles)))
			if err != nil && ctx.Err() == nil {
				return err
			}
			profiles++
		}
	}
}
