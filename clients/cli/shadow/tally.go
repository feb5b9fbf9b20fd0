package shadow

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Tally counts what came of the comparison. It is safe for concurrent use.
type Tally struct {
	mu    sync.Mutex
	since time.Time
	all   map[string]*Route
}

// Route is what came of one kind of requests.
type Route struct {
	Same    int64 `json:"same"`
	Differ  int64 `json:"differ"`
	Skipped int64 `json:"skipped"`
	Failed  int64 `json:"failed"`
	// Reasons counts why requests were skipped, or what the shadow failed with.
	Reasons map[string]int64 `json:"reasons,omitempty"`
	// Examples are the first differences of each place.
	Examples []Example `json:"examples,omitempty"`
}

// Example is a difference and how often its place differed.
type Example struct {
	Difference

	Times int64 `json:"times"`
}

// Summary is the whole of it.
type Summary struct {
	Since    time.Time         `json:"since"`
	Until    time.Time         `json:"until"`
	Same     int64             `json:"same"`
	Differ   int64             `json:"differ"`
	Skipped  int64             `json:"skipped"`
	Failed   int64             `json:"failed"`
	ByRoutes map[string]*Route `json:"routes"`
}

// maxExamples and maxReasons bound what is kept of a route.
const (
	maxExamples = 20
	maxReasons  = 20
)

func newTally() *Tally { return &Tally{since: time.Now(), all: map[string]*Route{}} }

func (t *Tally) change(route string, f func(*Route)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.all[route]
	if r == nil {
		r = &Route{Reasons: map[string]int64{}}
		t.all[route] = r
	}
	f(r)
}

func (r *Route) reason(why string) {
	if _, known := r.Reasons[why]; !known && len(r.Reasons) >= maxReasons {
		why = "other reasons"
	}
	r.Reasons[why]++
}

func (t *Tally) skipped(route, why string) {
	t.change(route, func(r *Route) { r.Skipped++; r.reason(why) })
}

func (t *Tally) failed(route string, err error) {
	t.change(route, func(r *Route) { r.Failed++; r.reason("shadow failed: " + err.Error()) })
}

func (t *Tally) compared(route string, found []Difference) {
	t.change(route, func(r *Route) {
		if len(found) == 0 {
			r.Same++
			return
		}
		r.Differ++
		for _, d := range found {
			r.example(d)
		}
	})
}

func (r *Route) example(d Difference) {
	for i := range r.Examples {
		if r.Examples[i].Where == d.Where {
			r.Examples[i].Times++
			return
		}
	}
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, Example{d, 1})
	}
}

// Write writes the summary as JSON.
func (t *Tally) Write(w io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sum()
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

// Sum returns the totals.
func (t *Tally) Sum() Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sum()
	s.ByRoutes = nil
	return s
}

func (t *Tally) sum() Summary {
	s := Summary{Since: t.since, Until: time.Now(), ByRoutes: t.all}
	for _, r := range t.all {
		s.Same, s.Differ, s.Skipped, s.Failed = s.Same+r.Same, s.Differ+r.Differ, s.Skipped+r.Skipped, s.Failed+r.Failed
	}
	return s
}
