package monitor

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
)

const (
	// growth of a bucket to the next: what is read out of them is right to a fifth, upwards.
	growth = 1.2
	// certain is how many silences of a project and stage must be known before they count for anything.
	certain = 100
	// factor over the silence that 99 of 100 are shorter than.
	factor = 3
	// silencesEvery is how often they are written.
	silencesEvery = 5 * time.Second
	// maxProjects bounds the memory of which build is whose.
	maxProjects = 20_000
)

// bucketOf counts logarithmically. Its inverse gives the longest silence of a bucket.
func bucketOf(d time.Duration) int64 {
	return int64(math.Floor(math.Log(max(1, float64(d.Milliseconds()))) / math.Log(growth)))
}

func bucketEnd(bucket int64) time.Duration {
	return time.Duration(math.Pow(growth, float64(bucket+1)) * float64(time.Millisecond))
}

// silences gathers how long signs of life were apart until they are written. The zero value is empty; it is safe for
// concurrent use.
type silences struct {
	mu       sync.Mutex
	counts   map[store.Silence]float64 // the count of the key is 0
	projects map[string]string         // of a build
}

func (s *silences) add(project, stage string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[store.Silence]float64{}
	}
	s.counts[store.Silence{Project: project, Stage: stage, Bucket: bucketOf(d)}]++
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

func (s *silences) project(buildID string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.projects[buildID]
	return p, ok
}

func (s *silences) belongs(buildID, project string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.projects == nil || len(s.projects) >= maxProjects {
		s.projects = map[string]string{}
	}
	s.projects[buildID] = project
}

// observe notes a silence that a beat ended.
func (m *Monitor) observe(ctx context.Context, buildID, stage string, d time.Duration) error {
	if d <= 0 || len(stage) > maxStage {
		return nil
	}
	project, known := m.silences.project(buildID)
	if !known {
		var err error
		if project, known, err = m.store.Project(ctx, buildID); err != nil || !known {
			return err
		}
		m.silences.belongs(buildID, project)
	}
	m.silences.add(project, stage, min(d, maxTTL))
	return nil
}

// silencesLoop writes them now and then. What a crash loses is a few seconds of many weeks.
func (m *Monitor) silencesLoop(ctx context.Context) error {
	tick := time.NewTicker(silencesEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		m.writeSilences(context.WithoutCancel(ctx))
	}
	return nil
}

func (m *Monitor) writeSilences(ctx context.Context) {
	all := m.silences.take()
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	if err := m.store.AddSilences(ctx, all); err != nil {
		m.log.WarnContext(ctx, "silences not written", "err", err)
	}
}

// patience is how long a project's builds may be silent in a stage by what was seen of them: three times what 99 of 100
// silences are shorter than; 0 if too little is known.
func (m *Monitor) patience(ctx context.Context, project, stage string) (time.Duration, error) {
	all, err := m.store.Silences(ctx, project, stage)
	if err != nil {
		return 0, err
	}
	return min(patienceOf(all), maxTTL), nil
}

func patienceOf(all []store.Silence) time.Duration {
	total, seen := 0.0, 0.0
	for _, s := range all {
		total += s.Count
	}
	if total < certain {
		return 0
	}
	for _, s := range all {
		if seen += s.Count; seen >= 0.99*total {
			return factor * bucketEnd(s.Bucket)
		}
	}
	return 0
}
