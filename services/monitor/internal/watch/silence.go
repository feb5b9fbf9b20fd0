package watch

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/cache"
)

// MinSilences is how many silences of a project and stage must be known before they count.
const MinSilences = 100

const (
	// growth of a bucket to the next: results are at most a fifth too large.
	growth = 1.2
	// factor over the silence that 99 of 100 are shorter than.
	factor = 3
	// silencesEvery is how often they are written.
	silencesEvery = 5 * time.Second
	// maxProjects bounds the memory of builds' projects.
	maxProjects = 20_000
)

// SilenceBucket returns the bucket of a silence. Buckets are logarithmic; bucketEnd returns the longest silence of a bucket.
func SilenceBucket(d time.Duration) int64 {
	return int64(math.Floor(math.Log(max(1, float64(d.Milliseconds()))) / math.Log(growth)))
}

func bucketEnd(bucket int64) time.Duration {
	return time.Duration(math.Pow(growth, float64(bucket+1)) * float64(time.Millisecond))
}

// silences knows how long builds of a project are usually silent in a stage. It collects silences and writes them now and then. It is
// safe for concurrent use.
type silences struct {
	store  *store.Silences
	leases *store.Leases
	log    *slog.Logger

	projects *cache.Cache[string, string] // by build

	mu     sync.Mutex
	counts map[store.Silence]float64 // the count of the key is 0
}

func (s *silences) add(project, stage string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[store.Silence]float64{}
	}
	s.counts[store.Silence{Project: project, Stage: stage, Bucket: SilenceBucket(d)}]++
}

func (s *silences) take() []store.Silence {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]store.Silence, 0, len(s.counts))
	for x, n := range s.counts {
		x.Count = n
		all = append(all, x)
	}
	s.counts = nil
	return all
}

// observe records a silence that a heartbeat ended.
func (s *silences) observe(ctx context.Context, buildID, stage string, d time.Duration) error {
	if d <= 0 || len(stage) > store.MaxStage {
		return nil
	}
	project, known := s.projects.Get(buildID)
	if !known {
		var err error
		if project, known, err = s.leases.Project(ctx, buildID); err != nil || !known {
			return err
		}
		s.projects.Put(buildID, project)
	}
	s.add(project, stage, min(d, store.MaxTTL))
	return nil
}

// loop writes what was collected. A crash loses a few seconds of it.
func (s *silences) loop(ctx context.Context) error {
	tick := time.NewTicker(silencesEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		s.write(context.WithoutCancel(ctx))
	}
	return nil
}

func (s *silences) write(ctx context.Context) {
	all := s.take()
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	if err := s.store.Add(ctx, all); err != nil {
		s.log.WarnContext(ctx, "record silences failed", "err", err)
	}
}

// allowed returns how long builds of a project may be silent in a stage: three times what 99 of 100 silences were shorter than; 0 if
// too little is known.
func (s *silences) allowed(ctx context.Context, project, stage string) (time.Duration, error) {
	all, err := s.store.Of(ctx, project, stage)
	if err != nil {
		return 0, err
	}
	return min(AllowedSilence(all), store.MaxTTL), nil
}

// AllowedSilence returns how long silences may be according to known ones, ordered by length; 0 if there are fewer than MinSilences.
func AllowedSilence(all []store.Silence) time.Duration {
	total, seen := 0.0, 0.0
	for _, s := range all {
		total += s.Count
	}
	if total < MinSilences {
		return 0
	}
	for _, s := range all {
		if seen += s.Count; seen >= 0.99*total {
			return factor * bucketEnd(s.Bucket)
		}
	}
	return 0
}
