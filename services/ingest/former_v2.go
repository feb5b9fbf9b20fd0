package ingest

import (
	"net/http"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
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

// formerOperations take over what another controller had, and give it back.
func (g *Ingest) formerOperations() []operation {
	admin := g.requireKey(httpapi.V2, identity.ScopeAdmin)
	const again = " May be sent again: what is there is left as it is. With check, nothing is written."
	in := func(kind, id, summary, about string, handle http.HandlerFunc, asks, gives any) operation {
		return operation{
			method: "POST", path: "/import/" + kind, guard: admin, handle: handle, id: id, summary: summary, about: about + again,
			who: anyKeyOf + "admin", asks: asks, gives: gives, status: http.StatusOK, refusals: []int{400, 409, 413},
		}
	}
	out := func(kind, id, summary, about string, handle http.HandlerFunc, gives any) operation {
		return operation{
			method: "GET", path: "/export/" + kind, guard: admin, handle: handle, id: id, summary: summary, about: about,
			who: anyKeyOf + "admin", asks: onePage{}, gives: gives, status: http.StatusOK, refusals: []int{400},
		}
	}
	return []operation{
		in("workers", "importWorkers", "Take over workers", "They may go on with the ids that they have.", answerImport(g, g.takeOverWorkers), api.FormerWorkers{}, api.FoundAll{}),
		in("files", "importFiles", "Take over files of builds", "A file that is not here gets a place, as an upload has one.", answerImport(g, g.takeOverFiles), api.FormerFiles{}, api.FormerPlaces{}),
		in("builds", "importBuilds", "Take over builds", "Their files come first. What had not ended is queued here.", answerImport(g, g.takeOverBuilds), api.FormerBuilds{}, api.FoundAll{}),
		in("snapshots", "importSnapshots", "Take over CPU and memory of builds", "They count into the public figures.", answerImport(g, g.takeOverSnapshots), api.FormerSnapshots{}, api.Tally{}),
		in("reports", "importReports", "Take over diagnostic reports", "Ids and times are kept.", answerImport(g, g.takeOverReports), api.FormerReports{}, api.Tally{}),
		out("workers", "exportWorkers", "Read all workers, by id", "", answerExport(g, g.exportWorkers), api.ExportedWorkers{}),
		out("builds", "exportBuilds", "Read all builds, oldest first", "With their access tokens.", answerExport(g, g.exportBuilds), api.ExportedBuilds{}),
		out("snapshots", "exportSnapshots", "Read CPU and memory of builds", "", answerExport(g, g.exportSnapshots), api.ExportedSnapshots{}),
		out("reports", "exportReports", "Read all diagnostic reports, by id", "", answerExport(g, g.exportReports), api.ExportedReports{}),
		{
			method: "GET", path: "/export/files/{id}", guard: admin, handle: g.exportFile, id: "exportFile", summary: "Read a file of a build",
			about: "Certificates too, unsealed. It is noted in the server's log.",
			who:   anyKeyOf + "admin", asks: oneFile{}, status: http.StatusOK, contentType: "application/octet-stream", refusals: []int{404, 416},
		},
	}
}
