package soak

import (
	"slices"
	"strings"
	"testing"
)

// samples returns what a server held over an hour; at says what of it, by the share of the time that has passed.
func samples(at func(s *Sample, share float64)) []Sample {
	const n = 360
	all := make([]Sample, n)
	for i := range all {
		all[i] = Sample{Second: 10 * i, RSSKiB: 100 << 10, AnonKiB: 80 << 10, HeapKiB: 40 << 10, Goroutines: 300, Files: 90}
		at(&all[i], float64(i)/n)
	}
	return all
}

func TestJudge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		at   func(s *Sample, share float64)
		grew string
	}{
		{"flat", func(*Sample, float64) {}, ""},
		{"warms up", func(s *Sample, share float64) { s.RSSKiB = int64(100<<10 + min(share, 0.3)*(200<<10)) }, ""},
		{"one peak", func(s *Sample, share float64) {
			if share > 0.90 && share < 0.92 {
				s.RSSKiB, s.Goroutines = 900<<10, 9000
			}
		}, ""},
		{"leaks memory", func(s *Sample, share float64) { s.RSSKiB += int64(share * (100 << 10)) }, "resident memory"},
		{"leaks on the heap alone", func(s *Sample, share float64) { s.HeapKiB += int64(share * (100 << 10)) }, "Go's heap"},
		{"leaks goroutines", func(s *Sample, share float64) { s.Goroutines += int64(share * 100) }, "goroutines"},
		{"leaks files", func(s *Sample, share float64) { s.Files += int64(share * 60) }, "open files"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Report{Measures: judge(samples(tt.at))}
			broken := r.verdict()
			if tt.grew == "" && len(broken) > 0 || tt.grew != "" && (len(broken) != 1 || !strings.HasPrefix(broken[0], tt.grew)) {
				t.Errorf("broken = %q, want %q", broken, tt.grew)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	good := Report{Submits: 10, Deliveries: 10}
	if broken := good.verdict(); len(broken) > 0 {
		t.Errorf("broken = %q, want nothing", broken)
	}
	for name, r := range map[string]Report{
		"did not complete": {Submits: 10, Deliveries: 9, Lost: []string{"b queued"}},
		"webhook":          {Submits: 10, Deliveries: 9},
		"requests failed":  {Submits: 10, Deliveries: 10, Failures: 1, FirstFailure: "submit: 500"},
	} {
		broken := r.verdict()
		if len(broken) != 1 || !slices.ContainsFunc(broken, func(s string) bool { return strings.Contains(s, name) }) {
			t.Errorf("broken = %q, want one about %q", broken, name)
		}
	}
}
