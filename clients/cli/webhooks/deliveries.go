package webhooks

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type deliveriesOptions struct {
	io      session.IO
	connect session.Flags
	id, one string
	api.DeliveryOptions
	json bool
}

// NewDeliveries returns `freeagent webhooks deliveries`.
func NewDeliveries(streams session.IO) *cobra.Command {
	o := &deliveriesOptions{io: streams}
	cmd := &cobra.Command{
		Use:   "deliveries WEBHOOK [DELIVERY]",
		Short: "List deliveries, or show one with its attempts",
		Example: `  freeagent webhooks deliveries 7rqd2c --state dead
  freeagent webhooks deliveries 7rqd2c k3x9 --json | jq .body`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			if len(args) == 2 {
				o.one = args[1]
			}
			return o.run(cmd.Context())
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().StringVar(&o.State, "state", "", "only deliveries in this state: pending, delivered, dead or skipped")
	cmd.Flags().StringVar(&o.From, "from", "", "only deliveries created at or after this time, such as 2026-11-26T10:00:00Z")
	cmd.Flags().StringVar(&o.To, "to", "", "only deliveries created before this time")
	cmd.Flags().IntVarP(&o.Limit, "limit", "n", 20, fmt.Sprintf("maximum number of deliveries, 1 to %d", maxDeliveries))
	cmd.Flags().BoolVar(&o.json, "json", false, "print each delivery as a JSON object")
	return cmd
}

// maxDeliveries is the server's limit of a page.
const maxDeliveries = 200

func (o *deliveriesOptions) run(ctx context.Context) error {
	if o.Limit < 1 || o.Limit > maxDeliveries {
		return session.Usage("--limit must be 1 to %d (got %d)", maxDeliveries, o.Limit)
	}
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	if o.one != "" {
		d, err := client.Webhooks.GetDelivery(ctx, o.id, o.one)
		switch {
		case err != nil:
			return about(o.id, err)
		case o.json:
			return show.JSON(o.io.Out, d)
		}
		return o.delivery(d)
	}
	list, err := client.Webhooks.ListDeliveries(ctx, o.id, o.DeliveryOptions)
	switch {
	case err != nil:
		return about(o.id, err)
	case o.json:
		return show.Each(o.io.Out, list.Deliveries)
	}
	return o.table(list)
}

func (o *deliveriesOptions) table(list api.DeliveryList) error {
	if len(list.Deliveries) == 0 {
		fmt.Fprintln(o.io.Out, "No deliveries.")
		return nil
	}
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "DELIVERY\tEVENT\tSUBJECT\tCREATED\tATTEMPTS\tSTATE")
	for _, d := range list.Deliveries {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%s\n", d.ID, d.Event, show.Safe(d.Subject), show.Ago(d.CreatedAt, o.io.Now()), d.Attempts, state(d))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if list.Next != "" {
		fmt.Fprintf(o.io.Err, "There are more. Show them with --limit %d.\n", min(maxDeliveries, 10*o.Limit))
	}
	return nil
}

func state(d api.Delivery) string {
	if d.Note != "" {
		return d.State + ": " + show.Safe(d.Note)
	}
	return d.State
}

// delivery shows one with its tries. Its body is for --json.
func (o *deliveriesOptions) delivery(d api.Delivery) error {
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" && value != "-" {
			fmt.Fprintf(tw, "%s\t%s\n", name, show.Safe(value))
		}
	}
	row("Delivery", d.ID)
	row("Event", d.Event)
	row("Subject", d.Subject)
	row("Path", d.Path)
	row("State", state(d))
	row("Created", show.Ago(d.CreatedAt, o.io.Now()))
	row("Next attempt", d.NextAt)
	for i, a := range d.Log {
		what := fmt.Sprintf("%s, status %d after %d ms", a.At, a.Status, a.TookMs)
		if a.Status == 0 {
			what = fmt.Sprintf("%s, no answer after %d ms", a.At, a.TookMs)
		}
		if a.Error != "" {
			what += ": " + a.Error
		}
		row(fmt.Sprintf("Attempt %d", i+1), what)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
