// Package stats is `freeagent stats`.
package stats

import (
	"cmp"
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type options struct {
	io      session.IO
	connect session.Flags
	api.StatsOptions
	json bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show build counts, outcomes and durations",
		Long: `Shows statistics per day (UTC): builds and their outcomes, waiting time and duration (median P50 and 95th percentile P95), time
per stage, and utilisation per worker.

The table leaves out days without builds; --json has all days.`,
		Example: `  freeagent stats
  freeagent stats --from 2026-11-01 --project shop
  freeagent stats --json | jq .total.success_rate`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().StringVar(&o.From, "from", "", "first day, such as 2026-11-01 (default: 30 days ago)")
	cmd.Flags().StringVar(&o.To, "to", "", "last day (default: today)")
	cmd.Flags().StringVar(&o.Project, "project", "", "only builds of this project")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func run(ctx context.Context, o *options) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	s, err := client.Stats(ctx, o.StatsOptions)
	if err != nil {
		return fmt.Errorf("read statistics: %w", err)
	}
	if o.json {
		return show.JSON(o.io.Out, s)
	}
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	days(tw, s)
	stages(tw, s.Stages)
	machines(tw, s.Workers)
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func days(tw *tabwriter.Writer, s api.Stats) {
	of := "all projects"
	if s.Project != "" {
		of = "project " + show.Safe(s.Project)
	}
	fmt.Fprintf(tw, "%s to %s (UTC), %s\n\n", s.From, s.To, of)
	fmt.Fprintln(tw, "DAY\tSUBMITTED\tCOMPLETED\tFAILED\tCANCELLED\tLOST ATTEMPTS\tSUCCESS\tWAITED P50\tP95\tTOOK P50\tP95")
	for _, d := range s.Days {
		if d.Submitted+d.Completed+d.Failed+d.Cancelled+d.LostAttempts > 0 {
			day(tw, d.Day, d)
		}
	}
	day(tw, "all", s.Total)
}

func day(tw *tabwriter.Writer, name string, d api.DayStats) {
	waited50, waited95 := spread(d.QueueWait)
	took50, took95 := spread(d.Duration)
	fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", name, d.Submitted, d.Completed, d.Failed, d.Cancelled, d.LostAttempts,
		share(d.SuccessRate), waited50, waited95, took50, took95)
}

func stages(tw *tabwriter.Writer, all []api.StageStats) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(tw, "\nSTAGE\tRUNS\tTOOK P50\tP95")
	for _, x := range all {
		if x.Duration != nil {
			p50, p95 := spread(x.Duration)
			fmt.Fprintf(tw, "%s\t%d\t%s\t%s\n", show.Safe(x.Stage), x.Duration.Count, p50, p95)
		}
	}
}

func machines(tw *tabwriter.Writer, all []api.WorkerStats) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(tw, "\nWORKER\tBUILDS\tBUSY FOR\tUTILISATION")
	for _, x := range all {
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\n", show.Safe(cmp.Or(x.Name, x.ID)), x.Attempts, milliseconds(x.BusyMs), share(x.Utilisation))
	}
}

func spread(s *api.Spread) (p50, p95 string) {
	if s == nil {
		return "-", "-"
	}
	return milliseconds(s.P50Ms), milliseconds(s.P95Ms)
}

func milliseconds(n int64) string { return show.Duration(time.Duration(n) * time.Millisecond) }

func share(x *float64) string {
	if x == nil {
		return "-"
	}
	return percent(*x)
}

// percent never rounds to 100 % what has failures, nor to 0 % what has successes.
func percent(x float64) string {
	switch p := 100 * x; {
	case p > 99 && p < 100:
		return fmt.Sprintf("%.1f %%", min(p, 99.9))
	case p > 0 && p < 1:
		return fmt.Sprintf("%.1f %%", max(p, 0.1))
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}
