package legacy

import (
	"net/http"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/openapi"
	v2 "github.com/expo-free-agent/freeagent/services/ingest/internal/v2"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

type (
	onePage struct {
		After string `query:"after" description:"Cursor: the value of next on the previous page."`
	}
	oneFile struct {
		ID string `path:"id" description:"Id of the file in an exported build."`
	}
)

// Operations returns the operations of import and export.
func (a *API) Operations() []v2.Operation {
	return []v2.Operation{
		importOf(a, a.importWorkers, legacyapi.Workers{}, "workers", "importWorkers", "Import workers", "They keep their ids."),
		importOf(a, a.importFiles, legacyapi.Files{}, "files", "importFiles", "Import files of builds", "A file that is not stored gets a place to upload it to."),
		importOf(a, a.importBuilds, legacyapi.Builds{}, "builds", "importBuilds", "Import builds", "Import their files first. A build that had not ended is queued here."),
		importOf(a, a.importSnapshots, legacyapi.Snapshots{}, "snapshots", "importSnapshots", "Import CPU and memory of builds", "They count in the public figures."),
		importOf(a, a.importReports, legacyapi.Reports{}, "reports", "importReports", "Import diagnostic reports", "Ids and times are kept."),
		exportOf(a, a.exportWorkers, "workers", "exportWorkers", "Export workers, ordered by id", ""),
		exportOf(a, a.exportBuilds, "builds", "exportBuilds", "Export builds, oldest first", "Includes their access tokens."),
		exportOf(a, a.exportSnapshots, "snapshots", "exportSnapshots", "Export CPU and memory samples of builds", ""),
		exportOf(a, a.exportReports, "reports", "exportReports", "Export diagnostic reports, ordered by id", ""),
		{Scope: identity.ScopeAdmin, Handle: a.exportFile, Operation: openapi.Operation{
			Method: http.MethodGet, Path: "/export/files/{id}", ID: "exportFile", Summary: "Read a file of a build",
			Description: "Certificates too, unsealed. The server logs each request.",
			Request:     oneFile{}, Status: http.StatusOK, ContentType: "application/octet-stream", Errors: []int{404, 416},
		}},
	}
}

func importOf[Req, Resp any](a *API, do importer[Req, Resp], request Req, kind, id, summary, description string) v2.Operation {
	const repeat = " A repeat changes nothing. With check, nothing is written."
	var response Resp
	return v2.Operation{Scope: identity.ScopeAdmin, Handle: handleImport(a, do), Operation: openapi.Operation{
		Method: http.MethodPost, Path: "/import/" + kind, ID: id, Summary: summary, Description: description + repeat,
		Request: request, Response: response, Status: http.StatusOK, Errors: []int{400, 409, 413},
	}}
}

func exportOf[Resp any](a *API, page exporter[Resp], kind, id, summary, description string) v2.Operation {
	var response Resp
	return v2.Operation{Scope: identity.ScopeAdmin, Handle: handleExport(a, page), Operation: openapi.Operation{
		Method: http.MethodGet, Path: "/export/" + kind, ID: id, Summary: summary, Description: description,
		Request: onePage{}, Response: response, Status: http.StatusOK, Errors: []int{400},
	}}
}
