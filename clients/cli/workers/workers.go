// Package workers is `freeagent workers`.
package workers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type options struct {
	io      session.IO
	connect session.Flags
	online  bool
	json    bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "workers [WORKER]",
		Short: "List workers, or show one",
		Long: `Lists workers, online ones first. With the id of a worker it shows that worker with its build counts and recent diagnostic
reports.

HEALTH is 0 to 100, computed from the worker's diagnostic reports of the last week, or "-" without any.`,
		Example: `  freeagent workers
  freeagent workers --online
  freeagent workers 7rqd2c
  freeagent workers --json | jq -r 'select(.online) | .name'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return o.one(cmd.Context(), args[0])
			}
			return o.all(cmd.Context())
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVar(&o.online, "online", false, "only workers that are online")
	cmd.Flags().BoolVar(&o.json, "json", false, "print each worker as a JSON object")
	return cmd
}

func (o *options) all(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	list, err := client.Workers.List(ctx)
	if err != nil {
		return fmt.Errorf("list workers: %w", err)
	}
	if o.online {
		list.Workers = slices.DeleteFunc(list.Workers, func(w api.Worker) bool { return !w.Online })
	}
	if o.json {
		return show.Each(o.io.Out, list.Workers)
	}
	return o.table(list.Workers)
}

func (o *options) table(all []api.Worker) error {
	if len(all) == 0 {
		fmt.Fprintln(o.io.Out, "No workers. Start one on the build machine: freeagent worker")
		return nil
	}
	now := o.io.Now()
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WORKER\tNAME\tPOOL\tBUILDS\tBUSY\tHEALTH\tVERSION\tSTATE")
	for _, w := range all {
		state := state(w)
		if !w.Online {
			state += ", last seen " + show.Ago(w.SeenAt, now)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d of %d\t%s\t%s\t%s\n", w.ID, show.Safe(w.Name), w.Pool, strings.Join(w.Platforms, ","), w.Held, w.Slots,
			score(w.Health), show.Safe(cmp.Or(w.Version, "-")), state)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func state(w api.Worker) string {
	switch {
	case !w.Online:
		return "offline"
	case w.Draining:
		return "draining"
	case w.Held > 0:
		return "building"
	default:
		return "idle"
	}
}

func score(h *api.Health) string {
	if h == nil {
		return "-"
	}
	return fmt.Sprint(h.Score)
}

func (o *options) one(ctx context.Context, id string) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	w, err := client.Workers.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("worker %s: %w", id, err)
	}
	if o.json {
		return show.JSON(o.io.Out, w)
	}
	reports, err := client.Workers.ListReports(ctx, id)
	if err != nil {
		return fmt.Errorf("reports of worker %s: %w", id, err)
	}
	return o.page(w, reports.Reports)
}

// shownReports is how many of a worker's reports are shown; the API has all.
const shownReports = 10

func (o *options) page(w api.Worker, reports []api.Report) error {
	now := o.io.Now()
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(tw, "%s\t%s\n", name, show.Safe(value))
		}
	}
	row("Worker", w.ID)
	row("Name", w.Name)
	row("State", state(w))
	row("Pool", w.Pool)
	row("Platforms", strings.Join(w.Platforms, ", "))
	row("Busy", fmt.Sprintf("%d of %d", w.Held, w.Slots))
	row("Completed", fmt.Sprint(w.Completed))
	row("Failed", fmt.Sprint(w.Failed))
	if w.Health != nil {
		row("Health", fmt.Sprintf("%d of 100 from %d reports; last: %s %s", w.Health.Score, w.Health.Reports, w.Health.LatestStatus, show.Ago(w.Health.LatestAt, now)))
	}
	row("Version", w.Version)
	if w.Polls {
		row("Protocol", "HTTP API v1")
	}
	for _, label := range slices.Sorted(maps.Keys(w.Labels)) {
		row("Label "+label, w.Labels[label])
	}
	row("Registered", show.Ago(w.RegisteredAt, now))
	row("Last seen", show.Ago(w.SeenAt, now))
	for _, r := range reports[:min(len(reports), shownReports)] {
		text := r.Status
		if r.AutoFixed {
			text += ", fixed automatically"
		}
		row("Report "+show.Ago(r.At, now), text)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
