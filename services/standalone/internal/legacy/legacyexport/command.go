package legacyexport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
)

type command struct {
	streams cli.Streams
	server  cli.Connection

	sqlite, base string
	json         bool
	opts         Options
}

// New returns the command `freeagent export`.
func New(s cli.Streams) *cobra.Command {
	o := &command{streams: s}
	cmd := &cobra.Command{
		Use:   "export --sqlite OUT.db --storage OUTDIR",
		Short: "Export everything in the legacy controller's form",
		Long: `Exports builds, workers, logs, diagnostics, CPU snapshots and files of a server in the form of the legacy (TypeScript) controller,
so that you can go back to it. The API key must have the scope admin.

With --base, the database that was imported, everything in it stays as it is (access tokens, row numbers), and what happened since is
added. Without it, imported builds get new tokens.

Builds that have not ended become pending: stop the workers, or the server, before you start the legacy controller. The certificates of
those builds are written unencrypted, as the legacy controller needs them.`,
		Example: `  freeagent export --base controller.db --sqlite new/controller.db --storage new/storage --stored-as /srv/controller/storage`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	o.server.Add(f)
	f.StringVar(&o.sqlite, "sqlite", "", "the database file to write (required); it must not exist")
	f.StringVar(&o.opts.Dir, "storage", "", "the folder of files to write (required); files with the same content stay")
	f.StringVar(&o.base, "base", "", "the legacy controller's database that was imported")
	f.StringVar(&o.opts.StoredAs, "stored-as", "", "path of the folder where the legacy controller will run (default: that of --storage)")
	f.StringVar(&o.opts.Certs, "certs", Unfinished, "builds whose signing certificates to write: unfinished, all or none")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	return cmd
}

func (o *command) run(ctx context.Context) error {
	switch {
	case o.sqlite == "" || o.opts.Dir == "":
		return cli.Usage("--sqlite and --storage are required")
	case !slices.Contains([]string{Unfinished, All, None}, o.opts.Certs):
		return cli.Usage("--certs must be unfinished, all or none (got %q)", o.opts.Certs)
	}
	if o.opts.StoredAs == "" {
		dir, err := filepath.Abs(o.opts.Dir)
		if err != nil {
			return fmt.Errorf("the folder of files: %w", err)
		}
		o.opts.StoredAs = dir
	}
	server, err := o.server.Client(o.streams)
	if err != nil {
		return err
	}
	to, err := legacydb.Create(ctx, o.sqlite, o.base)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }() // the run says whether it finished
	last := o.streams.Now()
	o.opts.Progress = func(builds, lines int64) {
		if now := o.streams.Now(); now.Sub(last) > 10*time.Second {
			last = now
			fmt.Fprintf(o.streams.Err, "written: %d builds, %d log lines\n", builds, lines)
		}
	}
	report, fault := Run(ctx, server, to, o.opts)
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
