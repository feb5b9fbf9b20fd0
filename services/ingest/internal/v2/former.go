package v2

import (
	"net/http"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/legacy"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

type (
	onePage struct {
		After string `query:"after" description:"Cursor: the next of an earlier page."`
	}
	oneFile struct {
		ID string `path:"id" description:"Id of the file, from an exported build."`
	}
)

func (h *API) imports() *legacy.API {
	return &legacy.API{
		Responder: h.Responder, Farm: h.Farm, Store: h.Store.AccessStore, Token: h.Auth.Token,
		Download: func(w http.ResponseWriter, r *http.Request, id string) { h.Objects.Download(w, r, httpapi.V2, id, id) },
	}
}

// formerOperations take over what another controller had, and give it back.
func (h *API) formerOperations() []operation {
	admin := h.Auth.RequireKey(httpapi.V2, identity.ScopeAdmin)
	const again = " May be sent again: what is there is left as it is. With check, nothing is written."
	old := h.imports()
	imports, exports := old.Imports(), old.Exports()
	in := func(kind, id, summary, about string, asks, gives any) operation {
		return operation{
			method: "POST", path: "/import/" + kind, guard: admin, handle: imports[kind], id: id, summary: summary, about: about + again,
			who: anyKeyOf + "admin", asks: asks, gives: gives, status: http.StatusOK, refusals: []int{400, 409, 413},
		}
	}
	out := func(kind, id, summary, about string, gives any) operation {
		return operation{
			method: "GET", path: "/export/" + kind, guard: admin, handle: exports[kind], id: id, summary: summary, about: about,
			who: anyKeyOf + "admin", asks: onePage{}, gives: gives, status: http.StatusOK, refusals: []int{400},
		}
	}
	return []operation{
		in("workers", "importWorkers", "Take over workers", "They may go on with the ids that they have.", legacyapi.Workers{}, legacyapi.FoundAll{}),
		in("files", "importFiles", "Take over files of builds", "A file that is not here gets a place, as an upload has one.", legacyapi.Files{}, legacyapi.Places{}),
		in("builds", "importBuilds", "Take over builds", "Their files come first. What had not ended is queued here.", legacyapi.Builds{}, legacyapi.FoundAll{}),
		in("snapshots", "importSnapshots", "Take over CPU and memory of builds", "They count into the public figures.", legacyapi.Snapshots{}, legacyapi.Tally{}),
		in("reports", "importReports", "Take over diagnostic reports", "Ids and times are kept.", legacyapi.Reports{}, legacyapi.Tally{}),
		out("workers", "exportWorkers", "Read all workers, by id", "", legacyapi.ExportedWorkers{}),
		out("builds", "exportBuilds", "Read all builds, oldest first", "With their access tokens.", legacyapi.ExportedBuilds{}),
		out("snapshots", "exportSnapshots", "Read CPU and memory of builds", "", legacyapi.ExportedSnapshots{}),
		out("reports", "exportReports", "Read all diagnostic reports, by id", "", legacyapi.ExportedReports{}),
		{
			method: "GET", path: "/export/files/{id}", guard: admin, handle: old.ExportFile, id: "exportFile", summary: "Read a file of a build",
			about: "Certificates too, unsealed. It is noted in the server's log.",
			who:   anyKeyOf + "admin", asks: oneFile{}, status: http.StatusOK, contentType: "application/octet-stream", refusals: []int{404, 416},
		},
	}
}
