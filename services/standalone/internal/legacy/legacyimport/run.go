package legacyimport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	"github.com/expo-free-agent/freeagent/shared/api"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
)

// Outcomes of an item.
const (
	added   = legacyapi.Added
	present = legacyapi.Present
	differs = legacyapi.Differs
)

// Options of a run.
type Options struct {
	// DryRun writes nothing.
	DryRun bool
	// EndedOnly leaves out builds that have not ended: the controller may still be running.
	EndedOnly bool
	// Certs says whose certificates are imported: Unfinished, All or None.
	Certs string
	// TempDir is for logs that are too long to hold; empty is the system's.
	TempDir string
	// Progress is called after each batch; nil for none.
	Progress func(Progress)
}

// Whose certificates are imported.
const (
	Unfinished = "unfinished"
	All        = "all"
	None       = "none"
)

// Progress is the progress of a run.
type Progress struct {
	// Step is the kind of items in progress; Verifying is true in the second look.
	Step        string
	Verifying   bool
	Done, Total int64
	// Lines of logs and Bytes of files so far.
	Lines, Bytes int64
}

// ErrDiffers is returned if the server has different items under the same ids.
var ErrDiffers = errors.New("some items differ on the server, which keeps its own")

// ErrNotVerified is returned if a second look at the server did not find everything.
var ErrNotVerified = errors.New("the import could not be verified")

// run is one pass over everything.
type run struct {
	Options

	server *api.Client
	from   *legacydb.Controller
	counts legacydb.Counts
	report *Report
	// check asks only.
	check, verifying bool
	lines, bytes     int64
}

// Run imports everything and verifies it. It returns a report even with an error.
func Run(ctx context.Context, server *api.Client, from *legacydb.Controller, opts Options) (*Report, error) {
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

// unchanged returns an error if the controller wrote its database during the run.
func (r *run) unchanged() error {
	changed, err := r.from.Changed()
	if err == nil && changed && !r.EndedOnly {
		err = fmt.Errorf("%w: it wrote during the import. Stop the controller and run the import again", legacydb.ErrInUse)
	}
	return err
}

func (r *run) tell(step string, done, total int64) {
	if r.Progress != nil {
		r.Progress(Progress{Step: step, Verifying: r.verifying, Done: done, Total: total, Lines: r.lines, Bytes: r.bytes})
	}
}
