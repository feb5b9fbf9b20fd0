package legacyexport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	"github.com/expo-free-agent/freeagent/shared/api"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
)

// Options of an export.
type Options struct {
	// Dir is the folder of files to write, StoredAs the path by which the legacy controller will know it; empty: the same.
	Dir, StoredAs string
	// Certs says whose certificates are written, in the clear, as the legacy controller wants them: unfinished, all or none.
	Certs string
	// Progress hears how many builds are done; nil for nobody.
	Progress func(builds, lines int64)
}

// Row is what became of one kind of things.
type Row struct {
	Kind    string `json:"kind"`
	Found   int64  `json:"found"`
	Written int64  `json:"written"`
	Present int64  `json:"already_there"`
	LeftOut int64  `json:"left_out"`
}

// Report is what an export did.
type Report struct {
	Rows    []*Row   `json:"kinds"`
	LeftOut []string `json:"left_out"`
	// Untold counts those left out beyond the first thousand.
	Untold int64 `json:"untold,omitempty"`
}

const maxTold = 1000

// of returns the row of a kind; they are told in the order in which they first came.
func (r *Report) of(kind string) *Row {
	for _, row := range r.Rows {
		if row.Kind == kind {
			return row
		}
	}
	r.Rows = append(r.Rows, &Row{Kind: kind})
	return r.Rows[len(r.Rows)-1]
}

func (r *Report) count(kind string, fresh bool) {
	row := r.of(kind)
	row.Found++
	if fresh {
		row.Written++
	} else {
		row.Present++
	}
}

func (r *Report) leave(kind, what, why string) {
	row := r.of(kind)
	row.Found, row.LeftOut = row.Found+1, row.LeftOut+1
	if len(r.LeftOut) >= maxTold {
		r.Untold++
		return
	}
	r.LeftOut = append(r.LeftOut, fmt.Sprintf("%s of %s: %s", kind, what, why))
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tfound\twritten\talready there\tleft out\t\n")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t\n", row.Kind, row.Found, row.Written, row.Present, row.LeftOut)
	}
	_ = t.Flush() // w keeps its own errors
	const shown = 20
	for i, s := range r.LeftOut {
		if i == shown {
			fmt.Fprintf(w, "and %d more; --json lists them\n", int64(len(r.LeftOut)-shown)+r.Untold)
			return
		}
		fmt.Fprintln(w, "Left out:", s)
	}
}

// run is one export.
type run struct {
	Options

	server *api.Client
	to     *legacydb.Writer
	report *Report
	// known are the workers that have a row.
	known         map[string]bool
	builds, lines int64
}

// Run writes everything. The report is there even when there is an error.
func Run(ctx context.Context, server *api.Client, to *legacydb.Writer, opts Options) (*Report, error) {
	r := &run{Options: opts, server: server, to: to, report: &Report{LeftOut: []string{}}, known: map[string]bool{}}
	for _, step := range []func(context.Context) error{r.writeWorkers, r.writeBuilds, r.writeSnapshots, r.writeReports} {
		if err := step(ctx); err != nil {
			return r.report, err
		}
	}
	return r.report, to.Finish(ctx)
}

// pages reads one page after the other.
func pages[P any](ctx context.Context, r *run, kind string, use func(context.Context, P) (next string, err error)) error {
	for after := ""; ; {
		var p P
		if err := legacyapi.New(r.server).Export(ctx, kind, after, &p); err != nil {
			return err
		}
		next, err := use(ctx, p)
		if err != nil || next == "" {
			return err
		}
		after = next
	}
}

func (r *run) writeWorkers(ctx context.Context) error {
	return pages(ctx, r, "workers", func(ctx context.Context, p legacyapi.ExportedWorkers) (string, error) {
		return p.Next, r.to.Write(ctx, func(b *legacydb.Batch) error {
			for _, w := range p.Workers {
				fresh, err := b.PutWorker(ctx, worker(w))
				if err != nil {
					return err
				}
				r.known[w.ID] = true
				r.report.count("workers", fresh)
			}
			return nil
		})
	})
}

func worker(w legacyapi.ExportedWorker) legacydb.Worker {
	return legacydb.Worker{ // idle: what it holds becomes pending there, and whether it is there shows at its next poll
		ID: w.ID, Name: w.Name, Status: "idle", Capabilities: capabilities(w), RegisteredAt: w.RegisteredAt, SeenAt: w.SeenAt,
		Completed: w.Completed, Failed: w.Failed,
	}
}

// capabilities are what the worker said there, or what is known of it here in the same words.
func capabilities(w legacyapi.ExportedWorker) string {
	if said := w.Labels[legacydb.CapabilitiesLabel]; said != "" {
		return said
	}
	can := map[string]any{"platforms": w.Platforms, "maxConcurrentBuilds": w.Slots}
	if len(w.Platforms) == 0 {
		can["platforms"] = []string{"ios", "android"}
	}
	if x := w.Labels["xcode"]; x != "" {
		can["xcode_version"] = x
	}
	data, err := json.Marshal(can)
	if err != nil { // texts and numbers always marshal
		panic(err)
	}
	return string(data)
}

func (r *run) writeSnapshots(ctx context.Context) error {
	return pages(ctx, r, "snapshots", func(ctx context.Context, p legacyapi.ExportedSnapshots) (string, error) {
		return p.Next, r.to.Write(ctx, func(b *legacydb.Batch) error {
			for _, s := range p.Snapshots {
				fresh, err := b.PutSnapshot(ctx, legacydb.Snapshot{
					ID: s.Number, BuildID: s.BuildID, At: s.At, CPUPercent: s.CPUPercent, MemoryMB: s.MemoryMB,
				})
				if err != nil {
					return err
				}
				r.report.count("CPU snapshots", fresh)
			}
			return nil
		})
	})
}

func (r *run) writeReports(ctx context.Context) error {
	return pages(ctx, r, "reports", func(ctx context.Context, p legacyapi.ExportedReports) (string, error) {
		return p.Next, r.to.Write(ctx, func(b *legacydb.Batch) error {
			for _, d := range p.Reports {
				if !r.known[d.WorkerID] {
					r.report.leave("diagnostics", d.ID, "its worker is not known any more")
					continue
				}
				fresh, err := b.PutReport(ctx, legacydb.Report{
					ID: d.ID, WorkerID: d.WorkerID, Status: d.Status, RunAt: d.RunAt, DurationMs: d.DurationMs, AutoFixed: d.AutoFixed,
					Checks: string(d.Checks),
				})
				if err != nil {
					return err
				}
				r.report.count("diagnostics", fresh)
			}
			return nil
		})
	})
}

// again tries a batch once more while the line to the server breaks; each try is a transaction of its own.
func again(ctx context.Context, f func() error) (err error) {
	const tries = 5
	for range tries {
		if err = f(); !errors.Is(err, api.ErrUnreachable) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func millis(text string) (int64, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("time of a log line: %w", err)
	}
	return at.UnixMilli(), nil
}

// level is one that the legacy controller knows.
func level(word string) string {
	if strings.EqualFold(word, "debug") {
		return "info"
	}
	return word
}
