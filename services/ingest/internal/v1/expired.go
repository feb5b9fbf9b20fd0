package v1

import (
	"net/http"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// statusOfExpired responds with the final status of an expired build.
func statusOfExpired(w http.ResponseWriter, t *schedulerv1.ExpiredBuild) {
	b := &schedulerv1.Build{State: t.GetState()}
	httpx.WriteJSON(w, http.StatusOK, status{
		ID: t.GetId(), Status: farm.StatusV1(b), Platform: t.GetPlatform(), WorkerID: orNull(t.GetWorkerId()), SubmittedAt: t.GetSubmittedAtMs(),
		StartedAt: orNull(t.GetAssignedAtMs()), CompletedAt: orNull(t.GetFinishedAtMs()), ErrorMessage: orNull(farm.ErrorV1(b)),
	})
}
