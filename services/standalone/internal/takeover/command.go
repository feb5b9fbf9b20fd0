package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/former"
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
		Short: "Take over the former controller's database and files",
		Long: `Takes over what the former (TypeScript) controller kept: builds, workers, logs, diagnostics, CPU snapshots, access tokens, and
the files in its storage folder. They go to a running server, standalone or distributed, whose API key must have the scope admin.

Stop the former controller first. Or bring what has ended beforehand, while it still runs, with --ended-only, so that little is left
for the moment of the change. --dry-run shows what would be done and writes nothing.

It may be killed at any moment and run again: what is there is left as it is. At the end everything is asked for once more, and
compared by count and SHA-256. A file that is missing is told, and taken over by a later run if it is there then. Builds that have not
ended are queued here; their ids and tokens go on to work.`,
		Example: `  freeagent import --sqlite data/controller.db --storage storage --dry-run
  freeagent import --sqlite data/controller.db --storage storage --server https://builds.example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	o.server.Add(f)
	f.StringVar(&o.sqlite, "sqlite", "", "the former controller's database file (required)")
	f.StringVar(&o.storage, "storage", "", "its folder of files, with builds, certs and results in it (required)")
	f.BoolVar(&o.opts.DryRun, "dry-run", false, "write nothing; say what would be done")
	f.BoolVar(&o.opts.EndedOnly, "ended-only", false, "leave builds that have not ended; the former controller may run meanwhile")
	f.StringVar(&o.opts.Certs, "certs", Unfinished, "whose signing certificates to take over: unfinished, all or none; they are sealed on the server")
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
	from, err := former.Open(ctx, o.sqlite, o.storage, o.opts.EndedOnly)
	if errors.Is(err, former.ErrInUse) {
		return fmt.Errorf("%w. With --ended-only what has ended is taken over while it runs", err)
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
	word := "taking over"
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
