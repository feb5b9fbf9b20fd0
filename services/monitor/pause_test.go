package monitor

import (
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/pause"
)

// settableClocks run as the system's, but for what a test adds.
type settableClocks struct {
	mu          sync.Mutex
	begin       time.Time
	asleep, set time.Duration
}

func (c *settableClocks) read() pause.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	ran := time.Since(c.begin)
	return pause.Reading{Monotonic: ran, Boot: ran + c.asleep, Wall: c.begin.Round(0).Add(ran + c.asleep + c.set)}
}

func (c *settableClocks) sleep(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asleep += d
}

func (c *settableClocks) setBack(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set -= d
}

// withClocks is setupWith for a monitor whose pauses a test makes.
func withClocks(t *testing.T, open databasetest.Opener) (*bundle, *settableClocks) {
	t.Helper()
	clocks := &settableClocks{begin: time.Now()}
	b := newBundle(t, open(t), bustest.Start(t), testConfig(), pause.NewWithClocks(clocks.read))
	return b, clocks
}

// TestASleepingMachineLosesNobody: every key expired while the machine slept, and with it the bus and the monitor. Workers that
// beat again within one TTL keep their leases; one that stays silent loses its own.
func TestASleepingMachineLosesNobody(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b, clocks := withClocks(t, open)
		for _, id := range []string{"alive", "dead"} {
			b.assign(id, 1)
			b.stage(id, 1, build.StageInstall)
			b.watched(id, func(l *store.Lease) bool { return l.TTL == ttl })
		}
		b.lifetimes(1) // verdicts are not held any more for the monitor's own start
		clocks.sleep(time.Hour)
		woken := time.Now()
		// What the bus does when it wakes: it tells of keys that are gone.
		for _, id := range []string{"alive", "dead"} {
			if err := b.store.Leases.Suspect(t.Context(), id, 1, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		pass(t, ttl/2) // the worker connects again and beats
		b.healthy("alive", 1)
		b.eventually("verdict on the dead", func() bool { return b.count(bus.BuildSubject("dead", bus.Stalled)) == 1 })
		if held := time.Since(woken); held < ttl {
			t.Errorf("verdict %s after the machine woke, want it held for a TTL of %s", held, ttl)
		}
		b.lifetimes(1)
		b.silent("alive")
	})
}

// TestAClockThatIsSetBackHidesNobody: a look that was due in an hour, by a clock that is an hour behind now, comes in its time.
func TestAClockThatIsSetBackHidesNobody(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b, clocks := withClocks(t, open)
		sub := b.listen(bus.BuildSubject("dead", bus.Stalled))
		b.assign("dead", 1)
		err := b.store.Leases.Watch(t.Context(), store.Lease{
			BuildID: "dead", Attempt: 1, WorkerID: holder, Stage: string(build.StagePrepare), TTL: short,
			Since: time.Now().Add(time.Hour), LookAt: time.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		clocks.setBack(time.Hour)
		b.stalled(sub)
	})
}
