package webhooks

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type replayOptions struct {
	io      session.IO
	connect session.Flags
	id      string
	some    []string
	api.DeliveryOptions
	json bool
}

// NewReplay returns `freeagent webhooks replay`.
func NewReplay(streams session.IO) *cobra.Command {
	o := &replayOptions{io: streams}
	cmd := &cobra.Command{
		Use:   "replay WEBHOOK [DELIVERY...]",
		Short: "Send deliveries again: one, several, or all dead ones",
		Long:  `Sends deliveries again with the same ids and bodies: the ones that you name, or all in a state.`,
		Example: `  freeagent webhooks replay 7rqd2c                                         # all dead ones
  freeagent webhooks replay 7rqd2c --state all --from 2026-11-26T10:00:00Z
  freeagent webhooks replay 7rqd2c k3x9`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id, o.some = args[0], args[1:]
			for _, name := range []string{"state", "from", "to"} {
				if len(o.some) > 0 && cmd.Flags().Changed(name) {
					return session.Usage("--%s cannot be combined with named deliveries", name)
				}
			}
			return o.run(cmd.Context())
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().StringVar(&o.State, "state", "dead", "state of the deliveries to send: dead, delivered or all")
	cmd.Flags().StringVar(&o.From, "from", "", "only deliveries created at or after this time, such as 2026-11-26T10:00:00Z")
	cmd.Flags().StringVar(&o.To, "to", "", "only deliveries created before this time")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the number as JSON")
	return cmd
}

func (o *replayOptions) run(ctx context.Context) error {
	switch o.State {
	case "dead", "delivered":
	case "all":
		o.State = ""
	default:
		return session.Usage("--state must be dead, delivered or all (got %q)", o.State)
	}
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	sum, err := o.replay(ctx, client)
	if err != nil {
		return about(o.id, err)
	}
	if o.json {
		return show.JSON(o.io.Out, sum)
	}
	if sum.Deliveries == 1 {
		fmt.Fprintln(o.io.Out, "Resending 1 delivery.")
	} else {
		fmt.Fprintf(o.io.Out, "Resending %d deliveries.\n", sum.Deliveries)
	}
	return nil
}

func (o *replayOptions) replay(ctx context.Context, client *api.Client) (sum api.Replayed, err error) {
	if len(o.some) == 0 {
		return client.Webhooks.ReplayAll(ctx, o.id, o.DeliveryOptions)
	}
	for _, id := range o.some {
		r, err := client.Webhooks.Replay(ctx, o.id, id)
		if err != nil {
			return sum, fmt.Errorf("resend delivery %s (%d before it succeeded): %w", id, sum.Deliveries, err)
		}
		sum.Deliveries += r.Deliveries
	}
	return sum, nil
}
