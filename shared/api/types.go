package api

import "github.com/expo-free-agent/freeagent/shared/build"

// Path is where the API is mounted.
const Path = "/api/v2"

// ObjectsPath is where bytes move, with a Grant's headers.
const ObjectsPath = Path + "/objects"

// The headers of an upload in pieces, after the IETF draft "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload):
// PATCH appends at Upload-Offset, HEAD asks for it, Upload-Complete: ?1 marks the last piece.
const (
	OffsetHeader   = "Upload-Offset"
	CompleteHeader = "Upload-Complete"
	LimitHeader    = "Upload-Limit"
	// Complete and Incomplete are the values of CompleteHeader.
	Complete   = "?1"
	Incomplete = "?0"
	// CodeOffset is the code of a 409: the upload stands elsewhere; the answer's Upload-Offset says where.
	CodeOffset = "upload_offset"
	// CodeUnderWay is the code of a 503: the first submit with this Idempotency-Key has not ended yet. Older servers send it
	// with a 409.
	CodeUnderWay = "submit_under_way"
	// AppendBytes is the least that is kept of a request that is not the last, and what it is kept in multiples of.
	AppendBytes = 8 << 20
)

// SmallObject is the largest object, in bytes, that is kept in the database of the artifact service and not in the object
// store: two syncs and a request over HTTP are what a put costs, and a row of this size costs less.
const SmallObject = 64 << 10

// SearchedHeader says up to which line a search in a log has come.
const SearchedHeader = "Log-Searched-Through"

// TicketHeader carries a Grant's secret.
const TicketHeader = "X-Transfer-Ticket"

// Build is one build. Times are RFC 3339; absent ones are left out.
type Build struct {
	ID       string `json:"id"`
	Project  string `json:"project,omitempty"`
	Platform string `json:"platform"`
	Pool     string `json:"pool"`
	Profile  string `json:"profile,omitempty"`
	// Status is pending, queued, assigned, building, completed, failed or cancelled.
	Status     string `json:"status"`
	Attempt    int    `json:"attempt"`
	Stage      string `json:"stage,omitempty"`
	WorkerID   string `json:"worker_id,omitempty"`
	WorkerName string `json:"worker_name,omitempty"`
	Priority   int    `json:"priority"`
	Error      string `json:"error,omitempty"`
	// WaitingFor says why it waits, Position where in the order; only while it waits.
	WaitingFor string `json:"waiting_for,omitempty"`
	Position   int    `json:"position,omitempty"`
	// ExpectedStart is when a waiting build is expected to run, by what builds of its project and those before it usually take.
	ExpectedStart string `json:"expected_start,omitempty"`
	RetryOf       string `json:"retry_of,omitempty"`
	// Repository (owner/name), Commit and Branch are what the submitter said that it is built of.
	Repository string `json:"repository,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Branch     string `json:"branch,omitempty"`
	build.Settings
	SubmittedAt string  `json:"submitted_at"`
	AssignedAt  string  `json:"assigned_at,omitempty"`
	StartedAt   string  `json:"started_at,omitempty"`
	FinishedAt  string  `json:"finished_at,omitempty"`
	Source      *Object `json:"source,omitempty"`
	Result      *Object `json:"result,omitempty"`
	// Artifacts are the files that the build kept besides its result, as one archive, also if it failed.
	Artifacts *Artifacts `json:"artifacts,omitempty"`
	// Reuses is how often other submits got this build instead of one of their own, LastReusedAt when last. LastReuses are the last ones,
	// newest first, filled when one build is asked for.
	Reuses       int64   `json:"reuses,omitempty"`
	LastReusedAt string  `json:"last_reused_at,omitempty"`
	LastReuses   []Reuse `json:"last_reuses,omitempty"`
	// Fingerprint is the native fingerprint (@expo/fingerprint) of an app, as its worker computed it.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Signing says how the result of a build with RepackFrom is signed; empty for any other.
	Signing build.Signature `json:"signing,omitempty"`
	// Pin keeps it from expiring. Like Attempts and Log, it is filled when one build is asked for, not in lists.
	Pin *Pin `json:"pin,omitempty"`
	// Log is where the log of a build that has ended is; it and Attempts are filled when one build is asked for, not in lists.
	Log      *Log      `json:"log,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
}

// Final says that the build has ended.
func (b Build) Final() bool {
	return b.Status == "completed" || b.Status == "failed" || b.Status == "cancelled"
}

// Log says what has become of a log.
type Log struct {
	// Lines that are archived; 0 while the log of a build that has just ended is being archived.
	Lines      int64  `json:"lines,omitempty"`
	ArchivedAt string `json:"archived_at,omitempty"`
	// KeptUntil is absent for a log that is kept for ever, RemovedAt unless that time is over.
	KeptUntil string `json:"kept_until,omitempty"`
	RemovedAt string `json:"removed_at,omitempty"`
}

// Object is a stored file.
type Object struct {
	Name string `json:"name"`
	// Size in bytes.
	Size int64 `json:"size"`
	// SHA256 in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// Artifacts is the archive of files that a build kept besides its result, and why some were not kept.
type Artifacts struct {
	// Name, Size in bytes and SHA256 are those of the archive; absent if nothing was kept.
	Name   string `json:"name,omitempty"`
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Files is the number of files in the archive.
	Files int `json:"files,omitempty"`
	// Problem says why files that were asked for were not kept.
	Problem string `json:"problem,omitempty"`
}

// Object returns the archive, nil if nothing was kept.
func (a *Artifacts) Object() *Object {
	if a == nil || a.SHA256 == "" {
		return nil
	}
	return &Object{Name: a.Name, Size: a.Size, SHA256: a.SHA256}
}

// Attempt is one hand-out of a build to a worker.
type Attempt struct {
	Number     int    `json:"number"`
	WorkerID   string `json:"worker_id"`
	WorkerName string `json:"worker_name"`
	// Outcome is running, completed, failed, cancelled, lost or handed_back.
	Outcome   string `json:"outcome"`
	Error     string `json:"error,omitempty"`
	ClaimedAt string `json:"claimed_at"`
	StartedAt string `json:"started_at,omitempty"`
	EndedAt   string `json:"ended_at,omitempty"`
}

// BuildList is one page, newest first. Next is the cursor of the following page, empty at the end.
type BuildList struct {
	Builds []Build `json:"builds"`
	Next   string  `json:"next,omitempty"`
}

// NewUpload asks for a place to upload a source to: POST /uploads.
type NewUpload struct {
	// Name is shown to people.
	Name    string `json:"name,omitempty"`
	Project string `json:"project,omitempty"`
}

// Upload is a place for a source. Bytes are sent to URL with Headers, by PUT or in pieces by PATCH; POST /builds then names ID.
type Upload struct {
	ID string `json:"id"`
	// URL is absolute, or a path of the gateway's.
	URL string `json:"url"`
	// Headers carry the right to write: secret.
	Headers map[string]string `json:"headers"`
	// ExpiresAt is when the first byte must have come.
	ExpiresAt string `json:"expires_at"`
	// MaxBytes is the largest source taken.
	MaxBytes int64 `json:"max_bytes"`
}

// Submitted is the answer to POST /builds (multipart: platform, project, profile, pool, priority, repository, commit, branch, supersede as fields, the
// files source and certs; in any order. Instead of a source, the field upload may name one that was uploaded before).
type Submitted struct {
	Build
	// AccessToken is enough, without an API key, for this build's status, log, download and retry.
	AccessToken string   `json:"access_token"`
	Warnings    []string `json:"warnings,omitempty"`
	// Superseded are the builds that were cancelled because this one replaces them.
	Superseded []string `json:"superseded,omitempty"`
}

// LogLine is one line of a build's log, in the order of GET /builds/{id}/logs: as JSON array, or as server-sent events named
// "log" (id: resume point for Last-Event-ID) that end with one named "end" (data: the Build) once the build is final.
type LogLine struct {
	// Line is the line's number in the build's log, from 1; it stays the same for ever.
	Line int64  `json:"line,omitempty"`
	At   string `json:"at"`
	// Level is debug, info, warn or error.
	Level   string `json:"level"`
	Stage   string `json:"stage,omitempty"`
	Attempt int    `json:"attempt"`
	Text    string `json:"text"`
}

// Telemetry is what a build used: GET /builds/{id}/telemetry.
type Telemetry struct {
	// Resolution is how many seconds a point covers.
	Resolution int `json:"resolution"`
	// Cut: there was more than fits, the points end before the time asked for.
	Cut    bool             `json:"cut,omitempty"`
	Points []TelemetryPoint `json:"points"`
}

// TelemetryPoint is the mean of the samples from At on, and the most of them. What was not measured is left out.
type TelemetryPoint struct {
	At      string `json:"at"`
	Attempt int    `json:"attempt"`
	Stage   string `json:"stage,omitempty"`
	Samples int64  `json:"samples"`
	// CPUPercent is of one core: 400 is four cores busy.
	CPUPercent    *float64 `json:"cpu_percent,omitempty"`
	CPUPercentMax *float64 `json:"cpu_percent_max,omitempty"`
	MemoryMB      *float64 `json:"memory_mb,omitempty"`
	MemoryMBMax   *float64 `json:"memory_mb_max,omitempty"`
	// MemoryUnreliable: the scripts of API v1 say a quarter of what is used.
	MemoryUnreliable bool     `json:"memory_unreliable,omitempty"`
	DiskPercent      *float64 `json:"disk_percent,omitempty"`
	Processes        *float64 `json:"processes,omitempty"`
}

// Timeouts are what a project has instead of the farm's; what is left out is the farm's.
type Timeouts struct {
	// SilenceSeconds are the heartbeat timeouts by stage, after which an attempt goes to another worker.
	SilenceSeconds map[string]int32 `json:"silence_seconds,omitempty"`
	// BuildSeconds ends a build whatever it does.
	BuildSeconds int64 `json:"build_seconds,omitempty"`
	// WaitAlertSeconds of waiting, and an event says so; -1 is never.
	WaitAlertSeconds int64 `json:"wait_alert_seconds,omitempty"`
}

// ProjectTimeouts is the answer to GET and PUT /timeouts?project=.
type ProjectTimeouts struct {
	Project           string   `json:"project"`
	Own               Timeouts `json:"own"`
	Effective         Timeouts `json:"effective"`
	MaxBuildSeconds   int64    `json:"max_build_seconds"`
	MaxSilenceSeconds int32    `json:"max_silence_seconds"`
}

// JoinRequest makes a worker known: POST /workers with a key of scope admin or worker.
type JoinRequest struct {
	// WorkerID and Secret of an earlier join keep its identity; without them, or if they do not fit, a new one is made.
	WorkerID string `json:"worker_id,omitempty"`
	Secret   string `json:"secret,omitempty"`
	Name     string `json:"name"`
	// Pool is "default" if empty.
	Pool string `json:"pool,omitempty"`
	// Platforms that it can build; none means all.
	Platforms []string `json:"platforms,omitempty"`
	// Slots is how many builds it does at once; 0 means 1.
	Slots   int               `json:"slots,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Version string            `json:"version,omitempty"`
	// Machine is a digest of what builds depend on: variables that are passed to them, versions of tools. Its key stays with the worker.
	Machine string `json:"machine,omitempty"`
}

// JoinResponse is a worker's identity on the bus. Secret is for its eyes only and kept in a 0600 file.
type JoinResponse struct {
	WorkerID string `json:"worker_id"`
	Secret   string `json:"secret"`
	// BusURL of the NATS servers; user is WorkerID, password Secret, inbox prefix bus.InboxPrefix(WorkerID).
	BusURL    string   `json:"bus_url"`
	Pool      string   `json:"pool"`
	Platforms []string `json:"platforms"`
}

// Worker is one machine that builds.
type Worker struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Pool string `json:"pool"`
	// Platforms that it can build.
	Platforms []string `json:"platforms"`
	// Slots is how many builds it does at once, Held how many it does now.
	Slots    int  `json:"slots"`
	Held     int  `json:"held"`
	Online   bool `json:"online"`
	Draining bool `json:"draining"`
	// Polls: it asks over HTTP API v1 and has no connection to the bus.
	Polls        bool              `json:"polls"`
	Version      string            `json:"version,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	RegisteredAt string            `json:"registered_at"`
	SeenAt       string            `json:"seen_at"`
	// Completed and Failed count its builds; filled when one worker is asked for, not in lists.
	Completed int64 `json:"completed,omitempty"`
	Failed    int64 `json:"failed,omitempty"`
	// Health is absent of a worker that reported nothing in the last week.
	Health *Health `json:"health,omitempty"`
}

// WorkerList is the workers, those online first; of those offline with one name, the last seen.
type WorkerList struct {
	Workers []Worker `json:"workers"`
}

// Problem is an error by RFC 9457 (application/problem+json).
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Code is the machine's word, see package rpc.
	Code      string `json:"code"`
	RequestID string `json:"request_id,omitempty"`
	// Expired comes with the code build_expired.
	Expired *Expired `json:"expired,omitempty"`
}

func (p *Problem) Error() string { return p.Detail }

// Uploaded is the answer to a PUT of bytes with a Grant.
type Uploaded struct {
	ObjectID string `json:"object_id"`
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256"`
}
