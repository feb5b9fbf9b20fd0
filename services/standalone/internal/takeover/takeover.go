package takeover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/former"
	"github.com/expo-free-agent/freeagent/shared/api"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
)

// The server's words for what became of a thing.
const (
	added   = legacyapi.Added
	present = legacyapi.Present
	differs = legacyapi.Differs
)

// Options of a run.
type Options struct {
	// DryRun writes nothing.
	DryRun bool
	// EndedOnly leaves builds that have not ended: the controller may still be running.
	EndedOnly bool
	// Certs says whose certificates are taken over: Unfinished, All or None.
	Certs string
	// TempDir is for logs that are too long to hold; empty is the system's.
	TempDir string
	// Progress hears of each batch; nil for nobody.
	Progress func(Progress)
}

// Whose certificates are taken over.
const (
	Unfinished = "unfinished"
	All        = "all"
	None       = "none"
)

// Progress is how far a run is.
type Progress struct {
	// Step is what is done now: workers, builds, ...; Verifying the second time.
	Step        string
	Verifying   bool
	Done, Total int64
	// Lines and Bytes are those of logs and files so far.
	Lines, Bytes int64
}

// ErrDiffers says that the server has something else under the same id.
var ErrDiffers = errors.New("some things are on the server already and say something else there; they were left as they are")

// ErrNotVerified says that the second look did not find everything.
var ErrNotVerified = errors.New("what was taken over could not be verified")

// run is one pass over everything.
type run struct {
	Options

	server *api.Client
	from   *former.Controller
	counts former.Counts
	report *Report
	// check asks only.
	check, verifying bool
	lines, bytes     int64
}

// Run takes everything over and verifies it. The report is there even when there is an error.
func Run(ctx context.Context, server *api.Client, from *former.Controller, opts Options) (*Report, error) {
	begun := time.Now()
	first := &run{Options: opts, server: server, from: from, check: opts.DryRun, report: newReport()}
	first.report.DryRun = opts.DryRun
	err := first.everything(ctx)
	if err == nil && !opts.DryRun {
		second := &run{Options: opts, server: server, from: from, check: true, verifying: true, report: newReport()}
		if err = second.everything(ctx); err == nil {
			first.report.Fault = first.report.unlike(second.report)
			first.report.Verified = first.report.Fault == ""
		}
	}
	first.report.Seconds = time.Since(begun).Seconds()
	switch {
	case err != nil:
		first.report.Fault = err.Error()
		return first.report, err
	case opts.DryRun:
	case !first.report.Verified:
		return first.report, fmt.Errorf("%w: %s", ErrNotVerified, first.report.Fault)
	}
	if first.report.differing() > 0 {
		return first.report, ErrDiffers
	}
	return first.report, nil
}

func (r *run) everything(ctx context.Context) (err error) {
	if r.counts, err = r.from.Count(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.workers, r.builds, r.snapshots, r.reports} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	r.report.leave(Lines, "without a build", "their build is not in the database", r.counts.OrphanLines)
	return r.unchanged()
}

// unchanged is an error if the controller wrote while it was read.
func (r *run) unchanged() error {
	changed, err := r.from.Changed()
	if err == nil && changed && !r.EndedOnly {
		err = fmt.Errorf("%w: it was written meanwhile. Stop the controller and run this again", former.ErrInUse)
	}
	return err
}

func (r *run) tell(step string, done, total int64) {
	if r.Progress != nil {
		r.Progress(Progress{Step: step, Verifying: r.verifying, Done: done, Total: total, Lines: r.lines, Bytes: r.bytes})
	}
}
