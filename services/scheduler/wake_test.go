package scheduler

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestWorkersAreWokenForWhatNobodyTakes: nobody pulls, so the hand-out lies.
func TestWorkersAreWokenForWhatNobodyTakes(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		w := b.worker(1, "ios", "android")
		resp, err := b.Sync(t.Context(), w, &schedulerv1.SyncRequest{})
		if err != nil || resp.GetPace().GetBeatSeconds() != 5 {
			t.Fatalf("Sync = %v, %v, want the pace of a small farm", resp, err)
		}
		woken := func(platform string) *nats.Subscription {
			sub, err := b.nc.SubscribeSync(bus.WakeSubject(build.DefaultPool, platform))
			if err == nil {
				err = b.nc.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			return sub
		}
		ios, android := woken("ios"), woken("android")
		id := b.submit("p", "ios", 0).GetId()
		for range 2 { // and again while it lies
			if _, err := ios.NextMsg(20 * time.Second); err != nil {
				t.Fatalf("no worker is woken: %v", err)
			}
		}
		b.mustClaim(w, id)
		lanes, err := b.store.Unclaimed(t.Context(), b.now())
		if err != nil || len(lanes) != 0 {
			t.Errorf("Unclaimed = %v, %v, want none", lanes, err)
		}
		if n, _, err := android.Pending(); err != nil || n != 0 {
			t.Errorf("%d workers of another lane were woken, %v", n, err)
		}
	})
}
