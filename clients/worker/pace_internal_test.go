package worker

import (
	"testing"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// TestNoKeyExpiresBetweenBeats: a beat that is due takes five seconds until it counts as lost, and is then repeated.
func TestNoKeyExpiresBetweenBeats(t *testing.T) {
	t.Parallel()
	for _, told := range []*schedulerv1.Pace{nil, {BeatSeconds: 10, TtlSeconds: 30}, {BeatSeconds: 320, TtlSeconds: 350}, {BeatSeconds: 640, TtlSeconds: 670}} {
		p := paceFrom(told)
		for range 10_000 {
			if wait := about(p.beat); wait < p.beat/2 || wait+callWait+time.Second > p.ttl {
				t.Fatalf("the next beat is %s after one whose key lasts %s", wait, p.ttl)
			}
		}
	}
}
