package retention

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type showOptions struct {
	io      session.IO
	connect session.Flags
	json    bool
}

// NewShow returns `freeagent retention show`.
func NewShow(streams session.IO) *cobra.Command {
	o := &showOptions{io: streams}
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the retention policies and the last sweep",
		Example: `  freeagent retention show`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func (o *showOptions) run(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	r, err := client.Retention.Get(ctx)
	if err != nil {
		return fmt.Errorf("read the retention policies: %w", err)
	}
	if o.json {
		return show.JSON(o.io.Out, r)
	}
	return printRetention(o.io, r)
}

// printRetention writes the policies and what happens next for people.
func printRetention(s session.IO, r api.Retention) error {
	if r.Farm == nil && len(r.Projects) == 0 {
		fmt.Fprintln(s.Out, "No retention policy: every build is kept. Set one: freeagent retention set --age 30d")
	} else if err := policies(s, r); err != nil {
		return err
	}
	if r.Notice != "" {
		fmt.Fprintf(s.Out, "\n%s\n", show.Safe(r.Notice))
	}
	if w := r.LastSweep; w != nil {
		fmt.Fprintf(s.Out, "\nLast sweep %s: %d builds expired, %s freed, %d workers removed.\n", show.Ago(w.EndedAt, s.Now()), w.Builds, show.Size(w.Bytes), w.Workers)
		if w.Error != "" {
			fmt.Fprintf(s.Out, "The sweep did not finish: %s\n", show.Safe(w.Error))
		}
	}
	if r.Pinned+r.Expired > 0 {
		fmt.Fprintf(s.Out, "%d pinned builds. %d builds expired in the last %s; the files of %d are still being deleted.\n", r.Pinned, r.Expired,
			showAge(r.TraceSeconds), r.Cleaning)
	}
	return nil
}

func policies(s session.IO, r api.Retention) error {
	tw := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "POLICY OF\tAGE\tBUILDS\tSIZE\tLAST SUCCESSFUL\tFARM SIZE\tWORKERS\tIN EFFECT")
	all := r.Projects
	if r.Farm != nil {
		all = append([]api.SetPolicy{*r.Farm}, all...)
	}
	for _, p := range all {
		name, farm, workers := p.Project, "", ""
		if name == "" {
			name, farm, workers = "the farm", size(p.FarmBytes), age(p.WorkerAgeSeconds)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", show.Safe(name), age(p.MaxAgeSeconds), count(p.MaxBuilds), size(p.MaxBytes),
			last(p.RetentionPolicy), farm, workers, show.Safe(strings.Replace(p.EffectiveAt, ".000Z", "Z", 1)))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

const noLimit = "-"

func age(seconds int64) string {
	if seconds == 0 {
		return noLimit
	}
	return showAge(seconds)
}

func count(n int64) string {
	if n == 0 {
		return noLimit
	}
	return fmt.Sprint(n)
}

func size(n int64) string {
	if n == 0 {
		return noLimit
	}
	return show.Size(n)
}

func last(p api.RetentionPolicy) string {
	switch {
	case !p.KeepLastSuccessful:
		return noLimit
	case p.KeepLastSeconds == 0:
		return "kept"
	}
	return "kept " + showAge(p.KeepLastSeconds)
}
