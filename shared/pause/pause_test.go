package pause_test

import (
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/pause"
)

// clocks are set by a test.
type clocks struct {
	mu sync.Mutex
	r  pause.Reading
}

func (c *clocks) read() pause.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r
}

// pass advances the clocks by what a machine's would show.
func (c *clocks) pass(monotonic, asleep, set time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.Monotonic += monotonic
	c.r.Boot += monotonic + asleep
	c.r.Wall = c.r.Wall.Add(monotonic + asleep + set)
}

func TestDetector(t *testing.T) {
	t.Parallel()
	const tick, limit = pause.Tick, 4 * pause.Tick
	for name, c := range map[string]struct {
		monotonic, asleep, set time.Duration
		want                   bool
	}{
		"a tick":                                {tick, 0, 0, false},
		"a late tick":                           {tick + limit/2, 0, 0, false},
		"stopped":                               {90 * time.Second, 0, 0, true},
		"asleep":                                {tick, time.Hour, 0, true},
		"asleep, and the clock set back by it":  {tick, time.Hour, -time.Hour, true},
		"stopped, and the clock set back by it": {time.Hour, 0, -time.Hour, true},
		"the clock set forward":                 {tick, 0, time.Hour, true},
		"the clock set back":                    {tick, 0, -time.Hour, true},
		"the clock slewed":                      {tick, 0, -20 * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := &clocks{r: pause.Reading{Wall: time.Now()}}
			d := pause.NewWithClocks(clock.read)
			for range 100 {
				clock.pass(tick, 0, 0)
				if n := d.Count(); n != 0 {
					t.Fatalf("Count = %d after regular ticks, want 0", n)
				}
			}
			began := time.Now()
			clock.pass(c.monotonic, c.asleep, c.set)
			if got := d.Count() == 1; got != c.want {
				t.Errorf("detected = %v, want %v", got, c.want)
			}
			if got := !d.Last().Before(began); got != c.want {
				t.Errorf("Last = %v, want one from %v on: %v", d.Last(), began, c.want)
			}
			clock.pass(tick, 0, 0)
			if n := d.Count(); n > 1 {
				t.Errorf("Count = %d, want one pause counted once", n)
			}
		})
	}
}

// TestSystemClocks: the system's clocks show no pause while nothing happens.
func TestSystemClocks(t *testing.T) {
	t.Parallel()
	d := pause.New(pause.Tick)
	if d.Count() != 0 || !d.Last().IsZero() {
		t.Errorf("Count = %d, Last = %v at once, want none", d.Count(), d.Last())
	}
}
