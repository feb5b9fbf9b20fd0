package legacyimport

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Kinds of things, in the order of the report.
const (
	Workers   = "workers"
	Builds    = "builds"
	Tokens    = "access tokens"
	Lines     = "log lines"
	Sources   = "sources"
	Certs     = "certificates"
	Results   = "results"
	Snapshots = "CPU snapshots"
	Reports   = "diagnostics"
)

func kinds() []string {
	return []string{Workers, Builds, Tokens, Lines, Sources, Certs, Results, Snapshots, Reports}
}

// Row counts the items of one kind: Found is the sum of the others.
type Row struct {
	Kind     string `json:"kind"`
	Found    int64  `json:"found"`
	Imported int64  `json:"taken_over"`
	Present  int64  `json:"already_there"`
	LeftOut  int64  `json:"left_out"`
	Differ   int64  `json:"differ"`
	// Bytes of the files and log lines found.
	Bytes int64 `json:"bytes,omitempty"`
}

// Exception is one or more items that were left out or differ.
type Exception struct {
	Kind string `json:"kind"`
	// What it is: an id, or a few words.
	What   string `json:"what"`
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
	// Differs: the server has an item with its id that differs.
	Differs bool `json:"differs,omitempty"`
}

// maxExceptions bounds the exceptions of a report.
const maxExceptions = 1000

// Report is the result of a run.
type Report struct {
	Server   string `json:"server"`
	Database string `json:"database"`
	// DryRun: nothing was written; Imported is what would have been.
	DryRun     bool        `json:"dry_run"`
	Rows       []*Row      `json:"kinds"`
	Exceptions []Exception `json:"exceptions"`
	// Untold counts the exceptions beyond the first thousand.
	Untold int64 `json:"exceptions_untold,omitempty"`
	// Verified: the server has everything, with the same content.
	Verified bool `json:"verified"`
	// Fault is why it is not verified.
	Fault   string  `json:"fault,omitempty"`
	Seconds float64 `json:"seconds"`
}

func newReport() *Report {
	r := &Report{Exceptions: []Exception{}}
	for _, k := range kinds() {
		r.Rows = append(r.Rows, &Row{Kind: k})
	}
	return r
}

// Of returns the row of a kind.
func (r *Report) Of(kind string) *Row {
	for _, row := range r.Rows {
		if row.Kind == kind {
			return row
		}
	}
	panic("no kind " + kind)
}

// count adds n items with an outcome of the server.
func (r *Report) count(kind, outcome string, n int64) {
	row := r.Of(kind)
	row.Found += n
	switch outcome {
	case added:
		row.Imported += n
	case present:
		row.Present += n
	default:
		row.Differ += n
	}
}

// leave adds n items that are left out.
func (r *Report) leave(kind, what, reason string, n int64) {
	if n == 0 {
		return
	}
	row := r.Of(kind)
	row.Found, row.LeftOut = row.Found+n, row.LeftOut+n
	r.except(Exception{Kind: kind, What: what, Reason: reason, Count: n})
}

// differ adds n items that differ on the server.
func (r *Report) differ(kind, what, reason string, n int64) {
	if n == 0 {
		return
	}
	r.count(kind, differs, n)
	r.except(Exception{Kind: kind, What: what, Reason: reason, Count: n, Differs: true})
}

func (r *Report) except(e Exception) {
	if len(r.Exceptions) >= maxExceptions {
		r.Untold++
		return
	}
	r.Exceptions = append(r.Exceptions, e)
}

// unlike returns how a second, checking run differs from what the first should lead to: nothing new, and as much left out and different
// as before. It is empty if all is as expected.
func (r *Report) unlike(second *Report) string {
	for i, row := range r.Rows {
		again := second.Rows[i]
		switch {
		case again.Imported > 0:
			return fmt.Sprintf("%d of %d %s are missing on the server", again.Imported, row.Found, row.Kind)
		case again.Found != row.Found || again.LeftOut != row.LeftOut || again.Differ != row.Differ:
			return fmt.Sprintf("%s changed meanwhile: found %d, left out %d, different %d; now %d, %d and %d",
				row.Kind, row.Found, row.LeftOut, row.Differ, again.Found, again.LeftOut, again.Differ)
		}
	}
	return ""
}

func (r *Report) differing() (n int64) {
	for _, row := range r.Rows {
		n += row.Differ
	}
	return n
}

const (
	// shownGroups and shownNames are how many reasons, and things of each, people are told.
	shownGroups = 20
	shownNames  = 3
)

// group is the exceptions of one kind that have one reason.
type group struct {
	first Exception
	names []string
	count int64
}

func (r *Report) groups() (all []*group) {
	for _, e := range r.Exceptions {
		i := slices.IndexFunc(all, func(g *group) bool {
			return g.first.Kind == e.Kind && g.first.Reason == e.Reason && g.first.Differs == e.Differs
		})
		if i < 0 {
			i, all = len(all), append(all, &group{first: e})
		}
		g := all[i]
		g.names, g.count = append(g.names, e.What), g.count+e.Count
	}
	return all
}

func (g *group) String() string {
	word := "Left out"
	if g.first.Differs {
		word = "Different on the server"
	}
	names := strings.Join(g.names[:min(len(g.names), shownNames)], ", ")
	if more := len(g.names) - shownNames; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s: %d %s: %s (%s)", word, g.count, g.first.Kind, g.first.Reason, names)
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	did := "imported"
	if r.DryRun {
		did = "would be imported"
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tfound\t%s\talready there\tleft out\tdiffer\t\n", did)
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t\n", row.Kind, row.Found, row.Imported, row.Present, row.LeftOut, row.Differ)
	}
	_ = t.Flush() // w keeps its own errors
	for i, g := range r.groups() {
		if i == shownGroups || r.Untold > 0 && i == len(r.groups())-1 {
			fmt.Fprintln(w, "There are more; --json lists all of them.")
			break
		}
		fmt.Fprintln(w, g)
	}
	took := time.Duration(r.Seconds * float64(time.Second)).Round(100 * time.Millisecond)
	switch {
	case r.DryRun:
		fmt.Fprintf(w, "Nothing was written. It took %s.\n", took)
	case r.Verified:
		fmt.Fprintf(w, "Verified: the server has everything that was imported, with the same counts and SHA-256. It took %s.\n", took)
	default:
		fmt.Fprintf(w, "NOT verified: %s\n", r.Fault)
	}
}
