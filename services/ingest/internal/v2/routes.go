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

// operation is an operation of API v2.
type operation struct {
	method, path string
	guard        func(http.Handler) http.Handler
	handle       http.HandlerFunc

	// The fields below are for the document, see openapi.Operation.
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

		From   int64  `query:"from" description:"First line, counted from 1; negative counts from the end."`
		Limit  int64  `query:"limit" minimum:"1" maximum:"10000" description:"Maximum number of lines (default: all, or 1000 for a search)."`
		Query  string `query:"q" maxLength:"200" description:"Text to search for, ignoring case."`
		Format string `query:"format" enum:"json,text" description:"text has the same effect as Accept: text/plain."`
		LastID string `header:"Last-Event-ID" description:"Last line that the client has received."`
	}
	oneWorker struct {
		ID string `path:"id" description:"Id of the worker."`
	}
	someBuilds struct {
		Limit    int      `query:"limit" minimum:"1" maximum:"1000" default:"50" description:"Maximum number of entries."`
		Before   string   `query:"before" description:"Cursor: the value of next on the previous page."`
		Status   []string `query:"status" collectionFormat:"multi" description:"Only builds in one of these states."`
		Project  string   `query:"project" description:"Only builds of this project."`
		Platform string   `query:"platform" enum:"ios,android" description:"Only builds for this platform."`
		Worker   string   `query:"worker" description:"Only builds whose current or last attempt is on this worker."`
	}
	someTelemetry struct {
		oneBuild

		From       string `query:"from" format:"date-time" description:"Start, RFC 3339 (default: the first sample)."`
		To         string `query:"to" format:"date-time" description:"End, exclusive (default: the last sample)."`
		Resolution int    `query:"resolution" minimum:"0" maximum:"86400" default:"0" description:"Seconds per point; 0 chooses a value that yields at most 500 points."`
	}
	someStats struct {
		From    string `query:"from" format:"date" description:"First day, such as 2026-11-01 (default: 30 days up to the last)."`
		To      string `query:"to" format:"date" description:"Last day, at most 400 days after the first (default: today)."`
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

		Name string `header:"Idempotency-Key" description:"Unique key of this retry. A repeat with the same key within a day returns the same build."`
	}
	newBuild struct {
		Name     string                `header:"Idempotency-Key" description:"Unique key of this submit. A repeat with the same key within a day returns the same build."`
		Platform string                `formData:"platform" required:"true" enum:"ios,android" description:"Target platform."`
		Source   *multipart.FileHeader `formData:"source" description:"The app as a zip or tar.gz (detected by content). Required unless upload is set."`
		Upload   string                `formData:"upload" description:"Id of an upload that holds the source."`
		Certs    *multipart.FileHeader `formData:"certs" description:"Signing certificates, at most 10 MB: a zip with *.p12, *.mobileprovision and password.txt, or a single .p12 file. A provisioning profile may accompany a .p12 as a file field named profile."`
		Profile  string                `formData:"profile" description:"Build profile in the project's freeagent.json."`
		Project  string                `formData:"project" description:"Name of the project."`
		Pool     string                `formData:"pool" default:"default" description:"Worker pool."`
		Priority int                   `formData:"priority" description:"Priority, higher goes first, -100 to the project's maximum (10 by default)."`
		// Origin of the source, for people and for commit statuses.
		Repository string `formData:"repository" description:"Repository of the source as owner/name. Webhooks of format github report to it if commit is set too."`
		Commit     string `formData:"commit" minLength:"40" maxLength:"64" description:"Full id of the source's commit, in lower-case hexadecimal."`
		Branch     string `formData:"branch" maxLength:"255" description:"Branch of the source."`
		AppPath    string `formData:"app_path" maxLength:"1024" description:"Directory of the app below the root of the source, such as apps/mobile; empty if it is the root."`
		Modified   bool   `formData:"modified" default:"false" description:"The source is not exactly that of the commit."`
		Username   string `formData:"username" maxLength:"100" description:"Who submits; the build sees it as EAS_BUILD_USERNAME."`
		BuildNum   string `formData:"build_number" description:"versionCode (Android) or buildNumber (iOS) of the app; empty: that of the app's configuration. next takes the next number of the project's counter, last is the one used last; see getBuildNumbers."`
		ReuseKey   string `formData:"reuse_key" minLength:"64" maxLength:"64" description:"SHA-256 over everything that decides the result, as far as the client knows it. reuseBuild returns this build to later submits with the same key. Without it the build is never reused."`
		NativeKey  string `formData:"reuse_native_key" minLength:"64" maxLength:"64" description:"The same without the JavaScript inputs, only of development clients."`
		Simulator  bool   `formData:"reuse_simulator" default:"false" description:"The result is a development client for the iOS simulator."`
		RepackFrom string `formData:"repack_from" maxLength:"64" description:"Id of a completed build of the project and platform: its result gets the JavaScript bundle of these sources in place of a native build. The build fails if its native fingerprint differs. See findRepack."`
		Requires   string `formData:"requires" description:"Labels that the worker must have, as KEY=VALUE by comma, such as xcode=26,node=22.11. A longer version meets a shorter one. The build waits until there is such a worker."`
		Prefers    string `formData:"prefers" description:"The same, for labels that are only required if a known worker has them. Others are dropped with a warning."`
		Supersede  bool   `formData:"supersede" default:"false" description:"Cancel unfinished builds of older commits of the same project, branch, platform and profile."`
	}
	appendBytes struct {
		transfer

		Offset   int64  `header:"Upload-Offset" required:"true" description:"Offset of the first byte: the number of bytes sent before."`
		Complete string `header:"Upload-Complete" enum:"?0,?1" default:"?0" description:"?1 marks the last bytes."`
	}
	transfer struct {
		Ticket string `header:"X-Transfer-Ticket" required:"true" description:"Ticket of the transfer, as granted."`
	}
)

const eventStream = "text/event-stream"

// Parts of operation.requires.
const anyKeyOf, keyOrToken = "an API key of scope ", "; or the build's own token"

// operations returns all operations of API v2.
func (h *API) operations() []operation {
	return slices.Concat(h.buildOperations(), h.workerOperations(), h.projectOperations(), h.retentionOperations(), h.webhookOperations(), h.byteOperations(),
		h.moreOperations())
}

func (h *API) buildOperations() []operation {
	submit, read := h.Auth.RequireKey(httpapi.V2, identity.ScopeSubmit), h.Auth.RequireKey(httpapi.V2, identity.ScopeRead)
	readOrToken, submitOrToken := h.Auth.RequireKeyOrToken(httpapi.V2, identity.ScopeRead), h.Auth.RequireKeyOrToken(httpapi.V2, identity.ScopeSubmit)
	return []operation{
		{
			method: "POST", path: "/builds", guard: submit, handle: builds{h}.submit, id: "submitBuild", summary: "Submit an app",
			description: "The server reads the form as it arrives: put fields before files, so that an error comes before you send the files. After the response the build is durable and ends in exactly one final state. With an Idempotency-Key you can repeat the request if the response was lost.",
			requires:    anyKeyOf + "submit", request: newBuild{}, response: api.Submitted{}, status: http.StatusCreated, errors: []int{400, 408, 409, 413, 422, 429, 507},
		},
		{
			method: "POST", path: "/uploads", guard: submit, handle: builds{h}.newUpload, id: "newUpload", summary: "Create an upload for a source",
			description: "Send the bytes to url with headers: with PUT, or in resumable pieces with PATCH. Then submit a build with the upload's id; repeated submits of one upload return the same build. The server deletes an upload that is not submitted within an hour of its last byte.",
			requires:    anyKeyOf + "submit", request: api.NewUpload{}, response: api.Upload{}, status: http.StatusCreated, errors: []int{400},
		},
		{
			method: "GET", path: "/builds", guard: read, handle: builds{h}.list, id: "listBuilds", summary: "List builds, newest first",
			description: "next and the Link header lead to the next page. The response has an ETag.",
			requires:    anyKeyOf + "read", request: someBuilds{}, response: api.BuildList{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "GET", path: "/builds/{id}", guard: readOrToken, handle: builds{h}.get, id: "getBuild", summary: "Read a build with its attempts",
			requires: anyKeyOf + "read" + keyOrToken, request: oneBuild{}, response: api.Build{}, status: http.StatusOK, errors: []int{404, 410},
		},
		{
			method: "GET", path: "/builds/{id}/events", guard: readOrToken, handle: builds{h}.events, id: "followBuild", summary: "Follow a build",
			description: "Server-sent events: \"build\" with the build at first and after each change, and \"end\" with the final build.",
			requires:    anyKeyOf + "read" + keyOrToken, request: oneBuild{}, status: http.StatusOK, contentType: eventStream, errors: []int{404, 410},
		},
		{
			method: "GET", path: "/builds/{id}/logs", guard: readOrToken, handle: buildLogs{h}.logs, id: "getLog", summary: "Read, search or follow a build's log",
			description: "Returns all lines or a range of them, oldest first. With q, returns the lines that contain the text; Log-Searched-Through is the last line searched. Accept: text/plain returns plain text. Accept: text/event-stream follows the log live: \"log\" events, whose id is the line number (resume with Last-Event-ID), then \"end\" with the build.",
			requires:    anyKeyOf + "read" + keyOrToken, request: someLines{}, response: []api.LogLine{}, status: http.StatusOK, errors: []int{400, 404, 410},
		},
		{
			method: "GET", path: "/builds/{id}/telemetry", guard: readOrToken, handle: builds{h}.telemetry, id: "getTelemetry", summary: "Read a build's resource usage",
			description: "Mean and maximum of CPU, memory, disk and processes per resolution seconds, oldest first, at most 2,000 points. Samples older than a week have a resolution of one minute. The memory of API v1 workers is marked as unreliable.",
			requires:    anyKeyOf + "read" + keyOrToken, request: someTelemetry{}, response: api.Telemetry{}, status: http.StatusOK, errors: []int{400, 404, 410},
		},
		{
			method: "GET", path: "/builds/{id}/result", guard: readOrToken, handle: builds{h}.result, id: "downloadResult", summary: "Download a completed build's result",
			description: "Supports Range and If-None-Match. ETag and X-Checksum-Sha256 are the SHA-256. If the transfer fails, the server closes the connection: a complete response is a complete file.",
			requires:    anyKeyOf + "read" + keyOrToken, request: oneBuild{}, status: http.StatusOK, contentType: "application/octet-stream", errors: []int{404, 409, 410, 416},
		},
		{
			method: "GET", path: "/builds/{id}/artifacts", guard: readOrToken, handle: builds{h}.artifacts, id: "downloadArtifacts", summary: "Download the files that a build kept besides its result",
			description: "One archive (tar.gz) of the files that buildArtifactPaths in eas.json or artifacts in freeagent.json name, also of a build that failed. Supports Range and If-None-Match as the result does. A build that kept none returns 404, one that has not ended 409.",
			requires:    anyKeyOf + "read" + keyOrToken, request: oneBuild{}, status: http.StatusOK, contentType: "application/octet-stream", errors: []int{404, 409, 410, 416},
		},
		{
			method: "POST", path: "/builds/{id}/cancel", guard: submit, handle: builds{h}.cancel, id: "cancelBuild", summary: "Cancel a build",
			description: "The worker kills the build's processes within a second. Cancelling a cancelled build succeeds.",
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
			method: "GET", path: "/workers", guard: read, handle: workers{h}.listWorkers, id: "listWorkers", summary: "List workers, online ones first",
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
			method: "POST", path: "/workers", guard: worker, handle: workers{h}.join, id: "joinWorker", summary: "Register a worker",
			description: "Returns credentials for the bus, which carries all further communication. A worker that presents its earlier credentials keeps its identity.",
			requires:    anyKeyOf + "worker", request: api.JoinRequest{}, response: api.JoinResponse{}, status: http.StatusOK, errors: []int{400},
		},
	}
}

func (h *API) projectOperations() []operation {
	read, admin := h.Auth.RequireKey(httpapi.V2, identity.ScopeRead), h.Auth.RequireKey(httpapi.V2, identity.ScopeAdmin)
	return []operation{
		{
			method: "GET", path: "/stats", guard: read, handle: statistics{h}.stats, id: "getStats", summary: "Read daily statistics",
			description: "Builds per day, durations of builds and stages, waiting times, and worker utilisation. Computed from events with a short delay; days are UTC.",
			requires:    anyKeyOf + "read", request: someStats{}, response: api.Stats{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "POST", path: "/stats/rebuild", guard: admin, handle: statistics{h}.rebuildStats, id: "rebuildStats", summary: "Rebuild the statistics",
			description: "Recomputes the days whose events still exist (30 days); earlier days stay unchanged. Without any events nothing changes, and the response has no from. Fails with rebuild_in_progress while another rebuild starts.",
			requires:    anyKeyOf + "admin", response: api.Rebuilt{}, status: http.StatusAccepted, errors: []int{409},
		},
		{
			method: "GET", path: "/timeouts", guard: read, handle: projects{h}.timeouts, id: "getTimeouts", summary: "Read a project's timeouts",
			description: "Returns the project's own timeouts and the effective ones. A build profile can override them within the maxima (timeouts in freeagent.json).",
			requires:    anyKeyOf + "read", request: oneProject{}, response: api.ProjectTimeouts{}, status: http.StatusOK,
		},
		{
			method: "PUT", path: "/timeouts", guard: admin, handle: projects{h}.setTimeouts, id: "setTimeouts", summary: "Replace a project's timeouts",
			description: "Applies to claims and stages from now on. A body without values, {}, restores the farm's timeouts.",
			requires:    anyKeyOf + "admin", request: newTimeouts{}, response: api.ProjectTimeouts{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "GET", path: "/rules", guard: read, handle: projects{h}.rules, id: "listRules", summary: "Read the dispatch rules",
			description: "Weights, limits and priorities of projects and pools with a rule, and the defaults of all others.",
			requires:    anyKeyOf + "read", response: api.Rules{}, status: http.StatusOK,
		},
		{
			method: "PUT", path: "/rules/project", guard: admin, handle: projects{h}.setProjectRule, id: "setProjectRule", summary: "Replace a project's dispatch rule",
			description: "A body without settings, {}, removes the rule. It takes effect within two seconds on all schedulers. Running builds continue.",
			requires:    anyKeyOf + "admin", request: newProjectRule{}, response: api.ProjectRule{}, status: http.StatusOK, errors: []int{400},
		},
		{
			method: "PUT", path: "/rules/pool", guard: admin, handle: projects{h}.setPoolRule, id: "setPoolRule", summary: "Replace a pool's dispatch rule",
			description: "A body without settings, {}, removes the rule. It takes effect within two seconds on all schedulers. Running builds continue.",
			requires:    anyKeyOf + "admin", request: newPoolRule{}, response: api.PoolRule{}, status: http.StatusOK, errors: []int{400},
		},
	}
}

func (h *API) byteOperations() []operation {
	return []operation{
		{
			method: "GET", path: "/objects", handle: h.Objects.Move, id: "getObject", summary: "Download an object",
			requires: "a ticket", request: transfer{}, status: http.StatusOK, contentType: "application/octet-stream", errors: []int{403, 404, 416},
		},
		{
			method: "HEAD", path: "/objects", handle: h.Objects.Move, id: "headObject", summary: "Read the state of an object",
			description: "With a ticket for writing the status is 204, Upload-Offset is the number of bytes received, and Upload-Complete tells whether that is all.",
			requires:    "a ticket", request: transfer{}, status: http.StatusOK, contentType: "application/octet-stream", errors: []int{403, 404},
		},
		{
			method: "PUT", path: "/objects", handle: h.Objects.Move, id: "putObject", summary: "Upload an object",
			requires: "a ticket", request: transfer{}, response: api.Uploaded{}, status: http.StatusOK, errors: []int{400, 403, 408, 409, 413, 507},
		},
		{
			method: "PATCH", path: "/objects", handle: h.Objects.Move, id: "appendToObject", summary: "Append to an object",
			description: "Follows the IETF draft Resumable Uploads for HTTP. If a request is not the last or breaks off, the server keeps whole pieces of 8 MiB and returns 204 with their size in Upload-Offset. A wrong offset returns 409 with the code upload_offset and the right Upload-Offset.",
			requires:    "a ticket", request: appendBytes{}, response: api.Uploaded{}, status: http.StatusOK, errors: []int{400, 403, 404, 408, 409, 413, 507},
		},
	}
}

// Routes adds every operation and the pages that describe them. r is mounted at api.Path.
func (h *API) Routes(r chi.Router) {
	r.MethodNotAllowed(methodNotAllowed(r))
	for _, o := range h.operations() {
		guarded := r
		if o.guard != nil { // otherwise the artifact service checks the ticket
			guarded = r.With(o.guard)
		}
		guarded.MethodFunc(o.method, o.path, o.handle)
	}
	r.Get("/openapi.json", h.openAPI)
	r.Get("/docs", h.docsPage)
}

// methodNotAllowed responds with the allowed methods of the path.
func methodNotAllowed(routes chi.Router) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if routes.Match(chi.NewRouteContext(), method, r.URL.Path[len(api.Path):]) {
				w.Header().Add("Allow", method)
			}
		}
		httpapi.V2.Refuse(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "This path does not support the method "+r.Method)
	}
}
