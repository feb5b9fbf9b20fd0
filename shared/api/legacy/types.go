package legacy

import (
	"encoding/json"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Outcomes of an imported item.
const (
	// Added: it was new, and is stored now (unless the request only checks).
	Added = "added"
	// Present: an equal item was there.
	Present = "present"
	// Differs: an item with this id was there and is different, as Note says. It is left as it is.
	Differs = "differs"
)

// Found is the outcome of one item.
type Found struct {
	Outcome string `json:"outcome"`
	Note    string `json:"note,omitempty"`
}

// File names a file of a build by its content.
type File struct {
	BuildID string `json:"build_id"`
	// Kind is source, certs, result or log (a whole log of a build that ended, in the format of package buildlog/archive).
	Kind string `json:"kind"`
	// Name is shown to people.
	Name string `json:"name,omitempty"`
	Size int64  `json:"size"`
	// SHA256 in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
	// Lines of a log. A log that is there with as many lines or more is the same log, to which lines were added.
	Lines int64 `json:"lines,omitempty"`
}

// Files asks where files are stored, or where to upload them: POST /import/files, at most 400.
type Files struct {
	Check bool   `json:"check,omitempty"`
	Files []File `json:"files"`
}

// Place is where a file is stored (ObjectID), or where to upload it (Upload; not if the request only checks).
type Place struct {
	ObjectID string      `json:"object_id,omitempty"`
	Upload   *api.Upload `json:"upload,omitempty"`
	// Removed: it was stored here and has expired.
	Removed bool `json:"removed,omitempty"`
}

// Places answers in the order of the request.
type Places struct {
	Places []Place `json:"places"`
}

// Build is a build of the legacy controller.
type Build struct {
	ID       string `json:"id"`
	Platform string `json:"platform"`
	// Status is one of API v1: pending, assigned, building, completed or failed. An unfinished build is queued here.
	Status      string `json:"status"`
	WorkerID    string `json:"worker_id,omitempty"`
	WorkerName  string `json:"worker_name,omitempty"`
	SubmittedAt int64  `json:"submitted_at"`
	StartedAt   int64  `json:"started_at,omitempty"`
	CompletedAt int64  `json:"completed_at,omitempty"`
	Error       string `json:"error,omitempty"`
	RetryOf     string `json:"retry_of,omitempty"`
	// TokenSHA256 is the hash of its access token, which stays valid; the token itself is not sent.
	TokenSHA256 string `json:"token_sha256,omitempty"`
	// The SHA-256 of its files, which must be imported before; empty for none.
	Source string `json:"source_sha256,omitempty"`
	Certs  string `json:"certs_sha256,omitempty"`
	Result string `json:"result_sha256,omitempty"`
	LogSum string `json:"log_sha256,omitempty"`
	// Their sizes in bytes.
	SourceSize int64 `json:"source_size,omitempty"`
	CertsSize  int64 `json:"certs_size,omitempty"`
	ResultSize int64 `json:"result_size,omitempty"`
	LogSize    int64 `json:"log_size,omitempty"`
	LogLines   int64 `json:"log_lines,omitempty"`
	// Log is the log of an unfinished build. It precedes the lines that are logged here.
	Log []Line `json:"log,omitempty"`
}

// Line is one line of a log.
type Line struct {
	At      int64  `json:"timestamp"`
	Level   string `json:"level"`
	Message string `json:"message"`
}

// Builds are imported in their order, oldest first: POST /import/builds, at most 100.
type Builds struct {
	Check  bool    `json:"check,omitempty"`
	Builds []Build `json:"builds"`
}

// Worker is a worker of the legacy controller.
type Worker struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Platforms    []string          `json:"platforms,omitempty"`
	Slots        int               `json:"slots,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	RegisteredAt int64             `json:"registered_at"`
	SeenAt       int64             `json:"seen_at"`
}

// Workers go to POST /import/workers, at most 500.
type Workers struct {
	Check   bool     `json:"check,omitempty"`
	Workers []Worker `json:"workers"`
}

// FoundAll answers in the order of the request.
type FoundAll struct {
	Found []Found `json:"found"`
}

// Snapshot is one measurement of a build's worker.
type Snapshot struct {
	// Number is its number in the legacy controller; 0 for one that was measured here.
	Number     int64   `json:"number"`
	BuildID    string  `json:"build_id"`
	At         int64   `json:"timestamp"`
	CPUPercent float64 `json:"cpu_percent"`
	MemoryMB   float64 `json:"memory_mb"`
}

// Snapshots go to POST /import/snapshots, at most 5000.
type Snapshots struct {
	Check     bool       `json:"check,omitempty"`
	Snapshots []Snapshot `json:"snapshots"`
}

// Report is a worker's diagnostic report.
type Report struct {
	ID         string          `json:"id"`
	WorkerID   string          `json:"worker_id"`
	Status     string          `json:"status"`
	RunAt      int64           `json:"run_at"`
	DurationMs int64           `json:"duration_ms"`
	AutoFixed  bool            `json:"auto_fixed"`
	Checks     json.RawMessage `json:"checks"`
}

// Reports go to POST /import/reports, at most 500.
type Reports struct {
	Check   bool     `json:"check,omitempty"`
	Reports []Report `json:"reports"`
}

// Tally counts the outcomes of a batch.
type Tally struct {
	Added   int64 `json:"added"`
	Present int64 `json:"present"`
	Differ  int64 `json:"differ"`
}

// ExportedBuild is a build in the form of the legacy controller.
type ExportedBuild struct {
	Build

	// AccessToken is that of a build submitted here. Of an imported build only the hash is known.
	AccessToken string `json:"access_token,omitempty"`
	// The files, for GET /export/files/{id}.
	SourceID string `json:"source_id,omitempty"`
	CertsID  string `json:"certs_id,omitempty"`
	ResultID string `json:"result_id,omitempty"`
}

// ExportedBuilds is a page, oldest first: GET /export/builds?after=. Next is empty at the end.
type ExportedBuilds struct {
	Builds []ExportedBuild `json:"builds"`
	Next   string          `json:"next,omitempty"`
}

// ExportedWorker is a worker and the counts of its builds.
type ExportedWorker struct {
	Worker

	Online    bool  `json:"online"`
	Held      int   `json:"held"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
}

// ExportedWorkers is a page by id: GET /export/workers?after=.
type ExportedWorkers struct {
	Workers []ExportedWorker `json:"workers"`
	Next    string           `json:"next,omitempty"`
}

// ExportedSnapshots is a page: GET /export/snapshots?after=.
type ExportedSnapshots struct {
	Snapshots []Snapshot `json:"snapshots"`
	Next      string     `json:"next,omitempty"`
}

// ExportedReports is a page by id: GET /export/reports?after=.
type ExportedReports struct {
	Reports []Report `json:"reports"`
	Next    string   `json:"next,omitempty"`
}
