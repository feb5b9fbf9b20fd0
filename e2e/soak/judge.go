package soak

import (
	"fmt"
	"slices"
)

// Measure is how one figure went: the medians of the thirds of the time, and what the last may be at most.
type Measure struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	First  float64 `json:"first"`
	Second float64 `json:"second"`
	Third  float64 `json:"third"`
	Most   float64 `json:"most"`
	Bound  float64 `json:"bound"`
	Flat   bool    `json:"flat"`
}

// growth says what a figure may have grown by from the second third to the last: memory by a tenth and 16 MiB, which is noise of a
// collected heap; what is counted by less than what grows with each build or tail would make in that time.
type growth struct {
	name, unit   string
	of           func(Sample) float64
	share, extra float64
}

func growths() []growth {
	return []growth{
		{"resident memory", "MiB", func(s Sample) float64 { return float64(s.RSSKiB) / 1024 }, 0.1, 16},
		{"of it no file's", "MiB", func(s Sample) float64 { return float64(s.AnonKiB) / 1024 }, 0.1, 16},
		{"Go's heap in use", "MiB", func(s Sample) float64 { return float64(s.HeapKiB) / 1024 }, 0.1, 16},
		{"goroutines", "", func(s Sample) float64 { return float64(s.Goroutines) }, 0.05, 10},
		{"open files", "", func(s Sample) float64 { return float64(s.Files) }, 0.05, 10},
	}
}

// judge compares the last third of the samples with the second; in the first, caches fill.
func judge(samples []Sample) []Measure {
	var all []Measure
	for _, g := range growths() {
		figures := make([]float64, len(samples))
		for i, s := range samples {
			figures[i] = g.of(s)
		}
		n := len(figures) / 3
		m := Measure{
			Name: g.name, Unit: g.unit, First: median(figures[:n]), Second: median(figures[n : 2*n]), Third: median(figures[2*n:]),
			Most: slices.Max(figures),
		}
		m.Bound = m.Second*(1+g.share) + g.extra
		m.Flat = m.Third <= m.Bound
		all = append(all, m)
	}
	return all
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}

// verdict names every promise that was broken.
func (r *Report) verdict() (broken []string) {
	for _, m := range r.Measures {
		if !m.Flat {
			broken = append(broken, fmt.Sprintf("%s grew: %.1f %s in the last third, %.1f in the second, at most %.1f is flat", m.Name, m.Third, m.Unit, m.Second, m.Bound))
		}
	}
	if len(r.Lost) > 0 {
		broken = append(broken, fmt.Sprintf("%d builds did not complete, such as %s", len(r.Lost), r.Lost[0]))
	}
	for id, what := range r.Stuck {
		broken = append(broken, "build "+id+": "+what)
	}
	if r.Deliveries < r.Submits-len(r.Lost) {
		broken = append(broken, fmt.Sprintf("the webhook heard of %d builds, want %d", r.Deliveries, r.Submits-len(r.Lost)))
	}
	if r.Failures > 0 {
		broken = append(broken, fmt.Sprintf("%d requests failed; the first: %s", r.Failures, r.FirstFailure))
	}
	return broken
}
