package legacyimport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
)

type command struct {
	streams cli.Streams
	server  cli.Connection

	sqlite, storage string
	json            bool
	opts            Options
}

// New returns the command `freeagent import`.
func New(s cli.Streams) *cobra.Command {
	o := &command{streams: s}
	cmd := &cobra.Command{
		Use:   "import --sqlite controller.db --storage DIR",
		Short: "Import the legacy controller's database and files",
		Long: `Imports the data of the legacy (TypeScript) controller: builds, workers, logs, diagnostics, CPU snapshots, access tokens, and
the files in its storage folder. The server must be running, standalone or distributed, and the API key must have the scope admin.

Stop the legacy controller first. To keep the interruption short, import what has ended beforehand, while it still runs, with
--ended-only. --dry-run shows what would be imported and writes nothing.

You may interrupt the command and run it again: what is stored stays as it is. At the end it asks the server for everything once more
and compares counts and SHA-256. It reports missing files, and imports them in a later run if they are there then. Builds that have not
ended are queued on the server; their ids and tokens stay valid.`,
		Example: `  freeagent import --sqlite data/controller.db --storage storage --dry-run
  freeagent import --sqlite data/controller.db --storage storage --server https://builds.example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	o.server.Add(f)
	f.StringVar(&o.sqlite, "sqlite", "", "the legacy controller's database file (required)")
	f.StringVar(&o.storage, "storage", "", "the legacy controller's folder of files, which contains builds, certs and results (required)")
	f.BoolVar(&o.opts.DryRun, "dry-run", false, "show what would be imported, and write nothing")
	f.BoolVar(&o.opts.EndedOnly, "ended-only", false, "leave out builds that have not ended; the legacy controller may be running")
	f.StringVar(&o.opts.Certs, "certs", Unfinished, "builds whose signing certificates to import: unfinished, all or none; the server stores them encrypted")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	return cmd
}

func (o *command) run(ctx context.Context) error {
	switch {
	case o.sqlite == "" || o.storage == "":
		return cli.Usage("--sqlite and --storage are required")
	case !slices.Contains([]string{Unfinished, All, None}, o.opts.Certs):
		return cli.Usage("--certs must be unfinished, all or none (got %q)", o.opts.Certs)
	}
	server, err := o.server.Client(o.streams)
	if err != nil {
		return err
	}
	from, err := legacydb.Open(ctx, o.sqlite, o.storage, o.opts.EndedOnly)
	if errors.Is(err, legacydb.ErrInUse) {
		return fmt.Errorf("%w. To import what has ended while it runs, add --ended-only", err)
	}
	if err != nil {
		return err
	}
	defer from.Close()
	p := newPrinter(o.streams)
	o.opts.Progress = p.tell
	report, fault := Run(ctx, server, from, o.opts)
	p.done()
	report.Server, report.Database = server.BaseURL(), o.sqlite
	return errors.Join(fault, o.print(report))
}

func (o *command) print(r *Report) error {
	if !o.json {
		r.Print(o.streams.Out)
		return nil
	}
	enc := json.NewEncoder(o.streams.Out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// printer shows progress: on one line that is written over for a person, else a line now and then.
type printer struct {
	streams cli.Streams
	every   time.Duration
	last    time.Time
	open    bool
}

func newPrinter(s cli.Streams) *printer {
	p := &printer{streams: s, every: 10 * time.Second}
	if s.ErrTTY {
		p.every = 200 * time.Millisecond
	}
	p.last = s.Now()
	return p
}

func (p *printer) tell(g Progress) {
	now := p.streams.Now()
	if now.Sub(p.last) < p.every {
		return
	}
	p.last = now
	word := "importing"
	if g.Verifying {
		word = "verifying"
	}
	line := fmt.Sprintf("%s: %d of %d %s, %d log lines, %d MB of files", word, g.Done, g.Total, g.Step, g.Lines, g.Bytes>>20)
	if p.streams.ErrTTY {
		fmt.Fprintf(p.streams.Err, "\r\x1b[K%s", line)
		p.open = true
		return
	}
	fmt.Fprintln(p.streams.Err, line)
}

func (p *printer) done() {
	if p.open {
		fmt.Fprint(p.streams.Err, "\r\x1b[K")
	}
}
