// Package list is `freeagent list`.
package list

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type options struct {
	io      session.IO
	connect session.Flags
	api.ListOptions
	json bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List builds, newest first",
		Example: `  freeagent list
  freeagent list --status pending --status queued
  freeagent list --limit 1000 --json | jq -r .id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().IntVarP(&o.Limit, "limit", "n", 20, fmt.Sprintf("maximum number of builds, 1 to %d", maxLimit))
	cmd.Flags().StringArrayVar(&o.Status, "status", nil, "only builds in this state (repeatable)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print each build as a JSON object")
	return cmd
}

// maxLimit is the server's limit of a page.
const maxLimit = 1000

func run(ctx context.Context, o *options) error {
	if o.Limit < 1 || o.Limit > maxLimit {
		return session.Usage("--limit must be 1 to %d (got %d)", maxLimit, o.Limit)
	}
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	page, err := client.Builds.List(ctx, o.ListOptions)
	if err != nil {
		return fmt.Errorf("list builds: %w", err)
	}
	if o.json {
		return show.Each(o.io.Out, page.Builds)
	}
	return o.table(page)
}

// status also says how often others got the build, and that it was repacked.
func status(s session.IO, b api.Build) string {
	switch {
	case b.RepackFrom != "":
		return show.Status(s, b.Status) + " (repacked)"
	case b.Reuses == 0:
		return show.Status(s, b.Status)
	}
	return fmt.Sprintf("%s (reused %d×)", show.Status(s, b.Status), b.Reuses)
}

func (o *options) table(page api.BuildList) error {
	if len(page.Builds) == 0 {
		fmt.Fprintln(o.io.Out, "No builds. Submit one: freeagent submit --platform android")
		return nil
	}
	now := o.io.Now()
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "BUILD\tPROJECT\tPLATFORM\tSUBMITTED\tTOOK\tSTATUS")
	for _, b := range page.Builds {
		project := b.Project
		if project == "" {
			project = "-"
		}
		// The status is last: colours count as width in a column.
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", b.ID, show.Safe(project), b.Platform, show.Ago(b.SubmittedAt, now), show.Took(b, now), status(o.io, b))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if page.Next != "" {
		fmt.Fprintf(o.io.Err, "There are more. Show them with --limit %d.\n", min(maxLimit, 10*o.Limit))
	}
	return nil
}
