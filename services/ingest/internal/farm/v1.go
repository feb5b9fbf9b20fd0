package farm

import (
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// StatusV1 returns the state of a build in the words of API v1, whose clients reject any other.
func StatusV1(b *schedulerv1.Build) string {
	switch build.State(b.GetState()) {
	case build.Queued:
		return string(build.Pending)
	case build.Cancelled:
		return string(build.Failed)
	default:
		return b.GetState()
	}
}

// ErrorV1 returns what went wrong. API v1 recognises a cancelled build by this sentence alone.
func ErrorV1(b *schedulerv1.Build) string {
	if build.State(b.GetState()) == build.Cancelled {
		return httpapi.MsgCancelled
	}
	return b.GetError()
}

// StartedV1 returns when a worker took the build: API v1 does not distinguish assigned from begun.
func StartedV1(b *schedulerv1.Build) int64 { return b.GetAssignedAtMs() }
