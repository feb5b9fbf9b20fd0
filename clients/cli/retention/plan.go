package retention

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type planOptions struct {
	io      session.IO
	connect session.Flags
	limit   int
	json    bool
}

// defaultLimit is how many builds a plan lists.
const defaultLimit = 20

// NewPlan returns `freeagent retention plan`.
func NewPlan(streams session.IO) *cobra.Command {
	o := &planOptions{io: streams}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show which builds would expire now",
		Long:  `Shows what the current policies would delete now, ignoring their waiting period. Deletes nothing.`,
		Example: `  freeagent retention plan
  freeagent retention plan --json | jq .bytes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().IntVar(&o.limit, "limit", defaultLimit, "number of builds to list, oldest first (at most 500)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func (o *planOptions) run(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	p, err := client.Retention.Plan(ctx, o.limit)
	if err != nil {
		return fmt.Errorf("read the retention plan: %w", err)
	}
	if o.json {
		return show.JSON(o.io.Out, p)
	}
	return printPlan(o.io, p)
}

func printPlan(s session.IO, p api.RetentionPlan) error {
	if p.Builds == 0 && p.Workers == 0 {
		fmt.Fprintln(s.Out, "Nothing would expire.")
		return nil
	}
	about := ""
	if p.Estimated {
		about = "at least "
	}
	fmt.Fprintf(s.Out, "%d builds would expire and free %s%s. %d workers would be removed.\n", p.Builds, about, show.Size(p.Bytes), p.Workers)
	if p.BeginsAt != "" {
		fmt.Fprintf(s.Out, "A policy takes effect at %s.\n", show.Safe(p.BeginsAt))
	}
	if p.Builds == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nPROJECT\tBUILDS\tSIZE")
	for _, one := range p.Projects {
		fmt.Fprintf(tw, "%s\t%d\t%s\n", show.Safe(cmp.Or(one.Project, "(none)")), one.Builds, show.Size(one.Bytes))
	}
	oldest(tw, s, p)
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func oldest(w io.Writer, s session.IO, p api.RetentionPlan) {
	if len(p.Oldest) == 0 {
		return
	}
	fmt.Fprintln(w, "\nOLDEST BUILD\tPROJECT\tSTATUS\tENDED\tSIZE\tLIMIT")
	for _, b := range p.Oldest {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", b.ID, show.Safe(cmp.Or(b.Project, "(none)")), show.Status(s, b.Status), show.Ago(b.FinishedAt, s.Now()),
			show.Size(b.Bytes), rule(b.Rule))
	}
	if more := p.Builds - int64(len(p.Oldest)); more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
}

// rule names a limit for people.
func rule(word string) string {
	switch word {
	case "count":
		return "builds"
	case "bytes":
		return "size"
	case "farm_bytes":
		return "farm size"
	}
	return show.Safe(word)
}
