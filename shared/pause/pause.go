package pause

import (
	"context"
	"sync"
	"time"
)

// Tick is how often a detector reads the clocks, for processes that judge the silence of others.
const Tick = 250 * time.Millisecond

// limit is how many ticks a gap may last that is not a pause. It tolerates late ticks on a busy
// machine, and with Tick it is short compared with the time between a heartbeat and its expiry.
const limit = 4

// Reading is what the clocks say at one moment.
type Reading struct {
	// Monotonic is the time that passed for this machine, without the time that it slept.
	Monotonic time.Duration
	// Boot is the time that passed, including the time that the machine slept.
	Boot time.Duration
	// Wall is the wall clock's time.
	Wall time.Time
}

// Detector detects pauses of this process. Make it with New and run it with Run. Its methods are
// safe for concurrent use.
type Detector struct {
	every time.Duration
	read  func() Reading

	mu sync.Mutex
	// running counts the calls of Run. Without one, nobody knows whether time passed in a pause.
	running int
	last    Reading
	count   uint64
	ended   time.Time
	gap     time.Duration
}

// New returns a detector that reads the system's clocks every so often, and takes for a pause what
// is more than four times as long.
func New(every time.Duration) *Detector {
	read := systemClocks()
	return &Detector{every: every, read: read, last: read()}
}

// NewWithClocks returns a detector that reads the given clocks and detects pauses without Run. It is
// for tests.
func NewWithClocks(read func() Reading) *Detector {
	return &Detector{every: Tick, read: read, last: read(), running: 1}
}

// Run reads the clocks until ctx ends and returns nil then. It calls noticed, if not nil, with the
// length of each pause after the pause, in its own goroutine. Several calls may run at once. Pauses
// are detected only while one runs.
func (d *Detector) Run(ctx context.Context, noticed func(gap time.Duration)) error {
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	seen, _, _ := d.state()
	d.runs(1)
	defer d.runs(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if count, _, gap := d.state(); count != seen {
			seen = count
			if noticed != nil {
				noticed(gap)
			}
		}
	}
}

// Last returns when the last pause was detected, on this process's clock, and zero if there was
// none. It reads the clocks, so a caller that runs first after a pause sees that pause.
func (d *Detector) Last() time.Time {
	_, ended, _ := d.state()
	return ended
}

// Count returns how many pauses there were. Like Last, it reads the clocks.
func (d *Detector) Count() uint64 {
	count, _, _ := d.state()
	return count
}

func (d *Detector) state() (count uint64, ended time.Time, gap time.Duration) {
	d.check()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count, d.ended, d.gap
}

func (d *Detector) runs(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running += n
}

func (d *Detector) check() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.read()
	gap := d.gapBetween(d.last, now)
	d.last = now
	if d.running > 0 && gap > limit*d.every {
		d.count, d.gap, d.ended = d.count+1, gap, time.Now()
	}
}

// gapBetween returns the longest time that this process may have missed. A wall clock that was set
// back counts as well: what it expires next expires late, and what others expire may be early.
func (d *Detector) gapBetween(was, now Reading) time.Duration {
	ran := now.Monotonic - was.Monotonic
	passed := now.Boot - was.Boot
	wall := now.Wall.Round(0).Sub(was.Wall.Round(0)) - passed
	return max(ran-d.every, passed-ran, wall, -wall)
}
