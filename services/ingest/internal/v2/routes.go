package v2

import (
	"mime/multipart"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// operation is one operation of API v2. The router and the published document are made of the same list, so they cannot differ.
type operation struct {
	method, path string
	guard        func(http.Handler) http.Handler
	handle       http.HandlerFunc

	// What follows is for the document, see openapi.Operation.
	id, summary, description, requires string
	request, response                  any
	status                             int
	contentType                        string
	errors                             []int
}

type (
	oneBuild struct {
		ID string `path:"id" description:"Id of the build."`
	}
	someLines struct {
		oneBuild

		From   int64  `query:"from" description:"First line, from 1; negative: so many before the end."`
		Limit  int64  `query:"limit" minimum:"1" maximum:"10000" description:"How many lines at most; all that follow if left out, 1000 of a search."`
		Query  string `query:"q" maxLength:"200" description:"Words that a line must have, in any case."`
		Format string `query:"format" enum:"json,text" description:"text is what Accept: text/plain asks for."`
		LastID string `header:"Last-Event-ID" description:"The last line that a follower has had."`
	}
	oneWorker struct {
		ID string `path:"id" description:"Id of the worker."`
	}
	someBuilds struct {
		Limit    int      `query:"limit" minimum:"1" maximum:"1000" default:"50" description:"How many at most."`
		Before   string   `query:"before" description:"Cursor: the next of an earlier page."`
		Status   []string `query:"status" collectionFormat:"multi" description:"Any of these states."`
		Project  string   `query:"project" description:"Only builds of this project."`
		Platform string   `query:"platform" enum:"ios,android" description:"Only builds for this platform."`
		Worker   string   `query:"worker" description:"Only builds that this worker has, or had last."`
	}
	someTelemetry struct {
		oneBuild

		From       string `query:"from" format:"date-time" description:"From this time on (RFC 3339); left out from the first sample."`
		To         string `query:"to" format:"date-time" description:"Before this time; left out to the last sample."`
		Resolution int    `query:"resolution" minimum:"0" maximum:"86400" default:"0" description:"Seconds of a point; 0 chooses one that gives at most 500 points."`
	}
	someStats struct {
		From    string `query:"from" format:"date" description:"First day, such as 2026-11-01; left out, 30 days up to the last."`
		To      string `query:"to" format:"date" description:"Last day; left out, today. At most 400 days."`
		Project string `query:"project" description:"Only builds of this project."`
	}
	oneProject struct {
		Project string `query:"project" required:"true" description:"Name of the project."`
	}
	newTimeouts struct {
		oneProject
		api.Timeouts
	}
	newProjectRule struct {
		oneProject
		api.ProjectRule
	}
	onePool struct {
		Pool string `query:"pool" required:"true" description:"Name of the pool."`
	}
	newPoolRule struct {
		onePool
		api.PoolRule
	}
	retryBuild struct {
		oneBuild

		Name string `header:"Idempotency-Key" description:"Names this retry: the same again within a day is the same build."`
	}
	newBuild struct {
		Name     string                `header:"Idempotency-Key" description:"Names this submit: the same again within a day is the same build."`
		Platform string                `formData:"platform" required:"true" enum:"ios,android" description:"What to build for."`
		Source   *multipart.FileHeader `formData:"source" description:"The app: a zip or tar.gz, told apart by content. Left out if upload is there."`
		Upload   string                `formData:"upload" description:"Id of a source that was uploaded before."`
		Certs    *multipart.FileHeader `formData:"certs" description:"Signing certificates, at most 10 MB: a zip with *.p12, *.mobileprovision and password.txt, or a bare .p12, beside which a provisioning profile may come as a file named profile."`
		Profile  string                `formData:"profile" description:"Build profile in the project's freeagent.json."`
		Project  string                `formData:"project" description:"Name of the project."`
		Pool     string                `formData:"pool" default:"default" description:"Pool of workers."`
		Priority int                   `formData:"priority" description:"Higher goes first, within the range of the project (-100 to 10 by default)."`
		// What it is built of, for people and for commit statuses.
		Repository string `formData:"repository" description:"Where the source comes from: owner/name. With the commit, a webhook of format github reports there."`
		Commit     string `formData:"commit" minLength:"40" maxLength:"64" description:"The whole id of the commit that the source is, in lower-case hexadecimal."`
		Branch     string `formData:"branch" maxLength:"255" description:"The branch, for people."`
		Supersede  bool   `formData:"supersede" default:"false" description:"Cancel unfinished builds of another commit of the same project, branch, platform and profile."`
	}
	appendBytes struct {
		transfer

		Offset   int64  `header:"Upload-Offset" required:"true" description:"Where the bytes belong: how many came before."`
		Complete string `header:"Upload-Complete" enum:"?0,?1" default:"?0" description:"?1 with the last bytes."`
	}
	transfer struct {
		Ticket string `header:"X-Transfer-Ticket" required:"true" description:"The right to move these bytes, as it was granted."`
	}
)

const sse2 = "text/event-stream"

// Who may, in words.
const anyKeyOf, keyOrToken = "an API key of scope ", "; or the build's own token"

// operations is the whole of API v2.
func (h *API) operations() []operation {
	return slices.Concat(h.buildOperations(), h.workerOperations(), h.projectOperations(), h.retentionOperations(), h.hookOperations(), h.byteOperations(),
		h.moreOperations())
}

func (h *API) buildOperations() []operation {
	submit, read := h.Auth.RequireKey(httpapi.V2, identity.ScopeSubmit), h.Auth.RequireKey(httpapi.V2, identity.ScopeRead)
	readOrToken, submitOrToken := h.Auth.RequireKeyOrToken(httpapi.V2, identity.ScopeRead), h.Auth.RequireKeyOrToken(httpapi.V2, identity.ScopeSubmit)
	return []operation{
		{
			method: "POST", path: "/builds", guard: submit, handle: builds{h}.submit, id: "submitBuild", summary: "Submit an app",
			description: "The form is streamed: put fields before files, so that a refusal comes before the bytes go. When the answer is here, the build is durable and ends in exactly one final state. With an Idempotency-Key it may be sent again when the answer was lost.",
			requires:    anyKeyOf + "submit", request: newBuild{}, response: api.Submitted{}, status: http.StatusCreated, errors: []int{400, 408, 409, 413, 422, 429, 507},
		},
		{
			method: "POST", path: "/uploads", guard: submit, handle: builds{h}.newUpload, id: "newUpload", summary: "Make room for a source that is uploaded first",
			description: "Send the bytes to url with headers: by PUT, or in pieces by PATCH, which goes on where it broke. Then name the upload in a submit: however often that is sent, it is one build. What is not submitted within an hour of its last byte is removed.",
			requires:    anyKeyOf + "submit", request: api.NewUpload{}, response: api.Upload{}, status: http.StatusCreated, errors: []int{400},
		},
		{
			method: "GET", path: "/builds", guard: read, handle: builds{h}.list, id: "listBuilds", summary: "List builds, newest first",
			description: "Pages are linked by next and by a Link header. The answer has an ETag.",
			requires:    anyKeyOf + "read", request: someBuilds{}, response: api.BuildList{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "GET", path: "/builds/{id}", guard: readOrToken, handle: builds{h}.get, id: "getBuild", summary: "Read a build with its attempts",
			requires: anyKeyOf + "read" + keyOrToken, request: oneBuild{}, response: api.Build{}, status: http.StatusOK, errors: []int{404, 410},
		},
		{
			method: "GET", path: "/builds/{id}/events", guard: readOrToken, handle: builds{h}.events, id: "followBuild", summary: "Follow a build's life",
			description: "Server-sent events: \"build\" with the build as it is, again whenever something happens to it, and \"end\" instead of the last.",
			requires:    anyKeyOf + "read" + keyOrToken, request: oneBuild{}, status: http.StatusOK, contentType: sse2, errors: []int{404, 410},
		},
		{
			method: "GET", path: "/builds/{id}/logs", guard: readOrToken, handle: buildLogs{h}.logs, id: "getLog", summary: "Read, search or follow a build's log",
			description: "All lines there are, oldest first, or a part of them. With q only those that have the words; Log-Searched-Through says up to which line was searched. With Accept: text/plain as text. With Accept: text/event-stream it is followed live: events \"log\", whose id is the line's number and resumes by Last-Event-ID, and \"end\" with the build.",
			requires:    anyKeyOf + "read" + keyOrToken, request: someLines{}, response: []api.LogLine{}, status: http.StatusOK, errors: []int{400, 404, 410},
		},
		{
			method: "GET", path: "/builds/{id}/telemetry", guard: readOrToken, handle: builds{h}.telemetry, id: "getTelemetry", summary: "Read what a build used",
			description: "Means and maxima of CPU, memory, disk and processes in steps of resolution seconds, oldest first, at most 2,000 points. What is older than a week is kept by the minute. A v1 worker's memory is unreliable and says so.",
			requires:    anyKeyOf + "read" + keyOrToken, request: someTelemetry{}, response: api.Telemetry{}, status: http.StatusOK, errors: []int{400, 404, 410},
		},
		{
			method: "GET", path: "/builds/{id}/result", guard: readOrToken, handle: builds{h}.result, id: "downloadResult", summary: "Download a completed build's result",
			description: "Ranges and If-None-Match are honoured; the ETag and X-Checksum-Sha256 are the SHA-256. If the line breaks, so does the connection: a whole answer is a whole file.",
			requires:    anyKeyOf + "read" + keyOrToken, request: oneBuild{}, status: http.StatusOK, contentType: "application/octet-stream", errors: []int{404, 409, 410, 416},
		},
		{
			method: "POST", path: "/builds/{id}/cancel", guard: submit, handle: builds{h}.cancel, id: "cancelBuild", summary: "Cancel a build",
			description: "A worker's process tree is killed within a second. Cancelling twice is answered like the first time.",
			requires:    anyKeyOf + "submit", request: oneBuild{}, response: api.Build{}, status: http.StatusOK, errors: []int{400, 404, 410},
		},
		{
			method: "POST", path: "/builds/{id}/retry", guard: submitOrToken, handle: builds{h}.retry, id: "retryBuild", summary: "Submit a build's source again",
			requires: anyKeyOf + "submit" + keyOrToken, request: retryBuild{}, response: api.Submitted{}, status: http.StatusCreated, errors: []int{400, 404, 409, 410, 422},
		},
	}
}

func (h *API) workerOperations() []operation {
	read, worker := h.Auth.RequireKey(httpapi.V2, identity.ScopeRead), h.Auth.RequireKey(httpapi.V2, identity.ScopeWorker)
	return []operation{
		{
			method: "GET", path: "/workers", guard: read, handle: workers{h}.listWorkers, id: "listWorkers", summary: "List workers, those online first",
			requires: anyKeyOf + "read", response: api.WorkerList{}, status: http.StatusOK,
		},
		{
			method: "GET", path: "/workers/{id}", guard: read, handle: workers{h}.getWorker, id: "getWorker", summary: "Read a worker",
			requires: anyKeyOf + "read", request: oneWorker{}, response: api.Worker{}, status: http.StatusOK, errors: []int{404},
		},
		{
			method: "GET", path: "/workers/{id}/reports", guard: read, handle: workers{h}.reports, id: "listReports", summary: "Read a worker's diagnostic reports, newest first",
			requires: anyKeyOf + "read", request: oneWorker{}, response: api.ReportList{}, status: http.StatusOK, errors: []int{404},
		},
		{
			method: "POST", path: "/workers", guard: worker, handle: workers{h}.join, id: "joinWorker", summary: "Join as a worker",
			description: "Gives credentials for the bus, over which everything else goes. Whoever shows earlier ones keeps its identity.",
			requires:    anyKeyOf + "worker", request: api.JoinRequest{}, response: api.JoinResponse{}, status: http.StatusOK, errors: []int{400},
		},
	}
}

func (h *API) projectOperations() []operation {
	read, admin := h.Auth.RequireKey(httpapi.V2, identity.ScopeRead), h.Auth.RequireKey(httpapi.V2, identity.ScopeAdmin)
	return []operation{
		{
			method: "GET", path: "/stats", guard: read, handle: figures{h}.stats, id: "getStats", summary: "Read the figures of days",
			description: "Builds by day, how long they and their stages took, how long they waited, what workers did. Counted from the events, a moment after they happen; days are UTC.",
			requires:    anyKeyOf + "read", request: someStats{}, response: api.Stats{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "POST", path: "/stats/rebuild", guard: admin, handle: figures{h}.rebuildStats, id: "rebuildStats", summary: "Count the figures anew",
			description: "From the events that there still are (30 days); earlier days stay as they are, and without events all do: then the answer has no from. While another rebuild begins it is refused with rebuild_in_progress.",
			requires:    anyKeyOf + "admin", response: api.Rebuilt{}, status: http.StatusAccepted, errors: []int{409},
		},
		{
			method: "GET", path: "/timeouts", guard: read, handle: projects{h}.timeouts, id: "getTimeouts", summary: "Read a project's timeouts",
			description: "What the project has of its own, and what its builds have. A build's profile may ask for others (timeouts in freeagent.json), within the maxima.",
			requires:    anyKeyOf + "read", request: oneProject{}, response: api.ProjectTimeouts{}, status: http.StatusOK,
		},
		{
			method: "PUT", path: "/timeouts", guard: admin, handle: projects{h}.setTimeouts, id: "setTimeouts", summary: "Replace a project's timeouts",
			description: "Holds for claims and stages from now on. A body without figures, {}, gives the project the farm's again.",
			requires:    anyKeyOf + "admin", request: newTimeouts{}, response: api.ProjectTimeouts{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "GET", path: "/rules", guard: read, handle: projects{h}.rules, id: "listRules", summary: "Read the rules of the queue",
			description: "Weights, limits and priorities of projects and pools that have a rule, and what applies to those without one.",
			requires:    anyKeyOf + "read", response: api.Rules{}, status: http.StatusOK,
		},
		{
			method: "PUT", path: "/rules/project", guard: admin, handle: projects{h}.setProjectRule, id: "setProjectRule", summary: "Replace a project's rule",
			description: "A body without settings, {}, removes the rule. Other schedulers follow within two seconds; builds that run go on.",
			requires:    anyKeyOf + "admin", request: newProjectRule{}, response: api.ProjectRule{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "PUT", path: "/rules/pool", guard: admin, handle: projects{h}.setPoolRule, id: "setPoolRule", summary: "Replace a pool's rule",
			description: "A body without settings, {}, removes the rule. Other schedulers follow within two seconds; builds that run go on.",
			requires:    anyKeyOf + "admin", request: newPoolRule{}, response: api.PoolRule{}, status: http.StatusOK, errors: []int{400},
		},
	}
}

func (h *API) byteOperations() []operation {
	return []operation{
		{
			method: "GET", path: "/objects", handle: h.Objects.Move, id: "getObject", summary: "Read bytes with a ticket",
			requires: "a ticket", request: transfer{}, status: http.StatusOK, contentType: "application/octet-stream", errors: []int{403, 404, 416},
		},
		{
			method: "HEAD", path: "/objects", handle: h.Objects.Move, id: "headObject", summary: "Look at bytes with a ticket",
			description: "With a ticket for writing: Upload-Offset says how many bytes have come, Upload-Complete if they are all. The status is 204 then.",
			requires:    "a ticket", request: transfer{}, status: http.StatusOK, contentType: "application/octet-stream", errors: []int{403, 404},
		},
		{
			method: "PUT", path: "/objects", handle: h.Objects.Move, id: "putObject", summary: "Write bytes with a ticket",
			requires: "a ticket", request: transfer{}, response: api.Uploaded{}, status: http.StatusOK, errors: []int{400, 403, 408, 409, 413, 507},
		},
		{
			method: "PATCH", path: "/objects", handle: h.Objects.Move, id: "appendToObject", summary: "Append bytes with a ticket",
			description: "After the IETF draft Resumable Uploads for HTTP. Of a request that is not the last, or breaks, whole pieces of 8 MiB are kept; Upload-Offset in the answer says how much that is, and the status is 204. A 409 with the code upload_offset says the same when the bytes belong elsewhere.",
			requires:    "a ticket", request: appendBytes{}, response: api.Uploaded{}, status: http.StatusOK, errors: []int{400, 403, 404, 408, 409, 413, 507},
		},
	}
}

// Routes adds every operation and the pages that describe them. r is mounted at api.Path.
func (h *API) Routes(r chi.Router) {
	r.MethodNotAllowed(methodNotAllowed(r))
	for _, o := range h.operations() {
		guarded := r
		if o.guard != nil { // else the ticket is the authority, and the artifact service judges it
			guarded = r.With(o.guard)
		}
		guarded.MethodFunc(o.method, o.path, o.handle)
	}
	r.Get("/openapi.json", h.openAPI)
	r.Get("/docs", h.docsPage)
}

// methodNotAllowed names the methods that a path has.
func methodNotAllowed(routes chi.Router) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if routes.Match(chi.NewRouteContext(), method, r.URL.Path[len(api.Path):]) {
				w.Header().Add("Allow", method)
			}
		}
		httpapi.V2.Refuse(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "The path does not have the method "+r.Method)
	}
}
