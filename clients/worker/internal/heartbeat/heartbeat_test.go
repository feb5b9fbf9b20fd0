package heartbeat

import (
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/pace"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// TestNoKeyExpiresBetweenHeartbeats: a heartbeat that is due takes answerTimeout until it counts as lost, and is then repeated.
func TestNoKeyExpiresBetweenHeartbeats(t *testing.T) {
	t.Parallel()
	for _, set := range []*schedulerv1.Pace{nil, {BeatSeconds: 10, TtlSeconds: 30}, {BeatSeconds: 320, TtlSeconds: 350}, {BeatSeconds: 640, TtlSeconds: 670}} {
		p := pace.From(set)
		for range 10_000 {
			if wait := pace.Jitter(p.Heartbeat); wait < p.Heartbeat/2 || wait+answerTimeout+retryInterval > p.TTL {
				t.Fatalf("next heartbeat after %s, want less: its key lasts %s", wait, p.TTL)
			}
		}
	}
}
