package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// The former controller's things: what an import brings (POST /import/...) and an export gives back (GET /export/...), with a key
// of scope admin. Ids are kept; times are milliseconds since the Unix epoch, 0 for none. Every import may be sent again: what is
// there is left as it is. With Check nothing is written, and the answer says what would become of it.

// What became of a thing of an import.
const (
	// FormerAdded: it was not there, and is now (unless the request only checks).
	FormerAdded = "added"
	// FormerPresent: it was there and says the same.
	FormerPresent = "present"
	// FormerDiffers: it was there and says something else; Note tells what. It is left as it is.
	FormerDiffers = "differs"
)

// Found is what became of one thing.
type Found struct {
	Outcome string `json:"outcome"`
	Note    string `json:"note,omitempty"`
}

// FormerFile names a file of a build by its content.
type FormerFile struct {
	BuildID string `json:"build_id"`
	// Kind is source, certs, result or log (a whole log of a build that ended, in the form of package logarchive).
	Kind string `json:"kind"`
	// Name is shown to people.
	Name string `json:"name,omitempty"`
	Size int64  `json:"size"`
	// SHA256 in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
	// Lines of a log. One that is there with as many or more is that log, to which more was added there.
	Lines int64 `json:"lines,omitempty"`
}

// FormerFiles asks where files are, or go: POST /import/files, at most 400.
type FormerFiles struct {
	Check bool         `json:"check,omitempty"`
	Files []FormerFile `json:"files"`
}

// FormerPlace is where a file is (ObjectID), or goes (Upload; not if the request only checks).
type FormerPlace struct {
	ObjectID string  `json:"object_id,omitempty"`
	Upload   *Upload `json:"upload,omitempty"`
	// Removed: it was there, and went by age.
	Removed bool `json:"removed,omitempty"`
}

// FormerPlaces answers in the order of the request.
type FormerPlaces struct {
	Places []FormerPlace `json:"places"`
}

// FormerBuild is a build as the former controller knew it.
type FormerBuild struct {
	ID       string `json:"id"`
	Platform string `json:"platform"`
	// Status is one of API v1: pending, assigned, building, completed or failed. What has not ended is queued here.
	Status      string `json:"status"`
	WorkerID    string `json:"worker_id,omitempty"`
	WorkerName  string `json:"worker_name,omitempty"`
	SubmittedAt int64  `json:"submitted_at"`
	StartedAt   int64  `json:"started_at,omitempty"`
	CompletedAt int64  `json:"completed_at,omitempty"`
	Error       string `json:"error,omitempty"`
	RetryOf     string `json:"retry_of,omitempty"`
	// TokenSHA256 is the hash of its access token, which goes on to work; the token itself does not travel.
	TokenSHA256 string `json:"token_sha256,omitempty"`
	// The SHA-256 of its files, which must have been brought before; empty for none.
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
	// Log is the log of a build that has not ended: it goes before what is logged here.
	Log []FormerLine `json:"log,omitempty"`
}

// FormerLine is one line of a log.
type FormerLine struct {
	At      int64  `json:"timestamp"`
	Level   string `json:"level"`
	Message string `json:"message"`
}

// FormerBuilds are taken over in their order, oldest first: POST /import/builds, at most 100.
type FormerBuilds struct {
	Check  bool          `json:"check,omitempty"`
	Builds []FormerBuild `json:"builds"`
}

// FormerWorker is a worker as the former controller knew it.
type FormerWorker struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Platforms    []string          `json:"platforms,omitempty"`
	Slots        int               `json:"slots,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	RegisteredAt int64             `json:"registered_at"`
	SeenAt       int64             `json:"seen_at"`
}

// FormerWorkers go to POST /import/workers, at most 500.
type FormerWorkers struct {
	Check   bool           `json:"check,omitempty"`
	Workers []FormerWorker `json:"workers"`
}

// FoundAll answers in the order of the request.
type FoundAll struct {
	Found []Found `json:"found"`
}

// FormerSnapshot is one measurement of a build's worker.
type FormerSnapshot struct {
	// Number is its number there; 0 for one that was measured here.
	Number     int64   `json:"number"`
	BuildID    string  `json:"build_id"`
	At         int64   `json:"timestamp"`
	CPUPercent float64 `json:"cpu_percent"`
	MemoryMB   float64 `json:"memory_mb"`
}

// FormerSnapshots go to POST /import/snapshots, at most 5000.
type FormerSnapshots struct {
	Check     bool             `json:"check,omitempty"`
	Snapshots []FormerSnapshot `json:"snapshots"`
}

// FormerReport is a worker's diagnostic report.
type FormerReport struct {
	ID         string          `json:"id"`
	WorkerID   string          `json:"worker_id"`
	Status     string          `json:"status"`
	RunAt      int64           `json:"run_at"`
	DurationMs int64           `json:"duration_ms"`
	AutoFixed  bool            `json:"auto_fixed"`
	Checks     json.RawMessage `json:"checks"`
}

// FormerReports go to POST /import/reports, at most 500.
type FormerReports struct {
	Check   bool           `json:"check,omitempty"`
	Reports []FormerReport `json:"reports"`
}

// Tally answers with counts of what was brought.
type Tally struct {
	Added   int64 `json:"added"`
	Present int64 `json:"present"`
	Differ  int64 `json:"differ"`
}

// ExportedBuild is a build as the former controller would know it.
type ExportedBuild struct {
	FormerBuild

	// AccessToken is what a submit here answered with. One that was brought by an import is not known.
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

// ExportedWorker is a worker and what it built.
type ExportedWorker struct {
	FormerWorker

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
	Snapshots []FormerSnapshot `json:"snapshots"`
	Next      string           `json:"next,omitempty"`
}

// ExportedReports is a page by id: GET /export/reports?after=.
type ExportedReports struct {
	Reports []FormerReport `json:"reports"`
	Next    string         `json:"next,omitempty"`
}

// Import sends one batch to POST /import/<kind>, again and again while the line breaks: a repeat changes nothing.
func (c *Client) Import(ctx context.Context, kind string, in, out any) error {
	return c.persist(ctx, func() error { return c.call(ctx, http.MethodPost, Path+"/import/"+kind, in, out) })
}

// Export reads one page of GET /export/<kind>; after is the Next of the page before, empty for the first.
func (c *Client) Export(ctx context.Context, kind, after string, out any) error {
	path := Path + "/export/" + kind + "?after=" + url.QueryEscape(after)
	return c.persist(ctx, func() error { return c.call(ctx, http.MethodGet, path, nil, out) })
}

// ExportFile reads a file of a build into w, which may have got a part of it when there is an error.
func (c *Client) ExportFile(ctx context.Context, objectID string, w io.Writer) (int64, error) {
	ctx, moved, stop := c.stall(ctx)
	defer stop()
	req, err := c.request(ctx, http.MethodGet, Path+"/export/files/"+url.PathEscape(objectID), nil)
	if err != nil {
		return 0, err
	}
	c.authorize(req)
	resp, err := c.do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, movingReader{resp.Body, func(int) { moved() }})
	if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, fmt.Errorf("read file %s: %w", objectID, errors.Join(err, context.Cause(ctx)))
	}
	return n, nil
}
