package legacy

import (
	"net/http"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
)

// Deps are what an API works with. All are required.
type Deps struct {
	httpapi.Responder

	Farm   *farm.Farm
	Tokens Tokens
	// Token returns the access token that this server issues for a build.
	Token func(buildID string) string
	// Download sends an object to the client.
	Download func(w http.ResponseWriter, r *http.Request, objectID string)
}

// API has the handlers of import and export. Create it with New.
type API struct {
	Deps

	scheduler schedulerv1.SchedulerLegacyServiceClient
	artifact  artifactv1.ArtifactLegacyServiceClient
	monitor   monitorv1.MonitorLegacyServiceClient
}

// New returns the API.
func New(d Deps) *API {
	c := d.Farm.Caller
	return &API{
		Deps: d, scheduler: schedulerv1.NewSchedulerLegacyServiceClient(c), artifact: artifactv1.NewArtifactLegacyServiceClient(c),
		monitor: monitorv1.NewMonitorLegacyServiceClient(c),
	}
}
