package pause

import (
	"testing"
	"time"
)

// TestSilence walks a clock past the ticks of a Silence.
func TestSilence(t *testing.T) {
	t.Parallel()
	const limit, slice = 80 * time.Second, 10 * time.Second
	type step struct {
		after time.Duration
		do    func(*Silence)
		want  bool // the function has run
	}
	tick := func(s *Silence) { s.tick() }
	ticks := func(n int, want bool) (all []step) {
		for i := range n {
			all = append(all, step{slice, tick, want && i == n-1})
		}
		return all
	}
	join := func(parts ...[]step) (all []step) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for name, steps := range map[string][]step{
		"nothing happens":          ticks(8, true),
		"a sign of life":           join(ticks(7, false), []step{{time.Second, (*Silence).Touch, false}}, ticks(8, true)),
		"late ticks":               join(ticks(3, false), []step{{2 * slice, tick, false}}, ticks(3, true)),
		"a pause":                  join(ticks(3, false), []step{{90 * time.Second, tick, false}}, ticks(8, true)),
		"a pause in the last part": join(ticks(7, false), []step{{90 * time.Second, tick, false}}, ticks(8, true)),
		"a pause after a pause":    {{90 * time.Second, tick, false}, {90 * time.Second, tick, false}},
		"suspended": join(ticks(7, false), []step{{0, (*Silence).Suspend, false}, {time.Hour, tick, false}, {0, (*Silence).Touch, false}},
			ticks(7, false), ticks(1, true)),
		"stopped": {{0, (*Silence).Stop, false}, {time.Hour, tick, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, ran := time.Now(), false
			s := newSilence(limit, func() { ran = true }, func() time.Time { return now })
			s.Touch()
			s.timer.Stop() // the test ticks
			for i, step := range steps {
				now = now.Add(step.after)
				step.do(s)
				s.timer.Stop()
				if ran != step.want {
					t.Fatalf("step %d: ran = %v, want %v", i, ran, step.want)
				}
			}
			s.Stop()
		})
	}
}

// TestSilenceFires uses a real timer.
func TestSilenceFires(t *testing.T) {
	t.Parallel()
	fired := make(chan struct{})
	s := NewSilence(40*time.Millisecond, func() { close(fired) })
	defer s.Stop()
	<-fired
}
