package legacy

import (
	"net/http"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
)

// API has the handlers of import and export. All of its fields are needed.
type API struct {
	httpapi.Responder

	Farm  *farm.Farm
	Store *store.AccessStore
	// Token returns the access token of a build.
	Token func(buildID string) string
	// Download sends an object to the client.
	Download func(w http.ResponseWriter, r *http.Request, objectID string)
}

// Imports are the handlers of POST /import/<name>, by name.
func (a *API) Imports() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"workers": handleImport(a, a.importWorkers), "files": handleImport(a, a.importFiles), "builds": handleImport(a, a.importBuilds),
		"snapshots": handleImport(a, a.importSnapshots), "reports": handleImport(a, a.importReports),
	}
}

// Exports are the handlers of GET /export/<name>, by name.
func (a *API) Exports() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"workers": handleExport(a, a.exportWorkers), "builds": handleExport(a, a.exportBuilds),
		"snapshots": handleExport(a, a.exportSnapshots), "reports": handleExport(a, a.exportReports),
	}
}
