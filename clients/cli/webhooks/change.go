package webhooks

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type changeOptions struct {
	io      session.IO
	connect session.Flags
	id      string
	json    bool
	change  func(context.Context, *api.Client, string) (api.Webhook, error)
	// done is the message after a success; %s is the webhook's id.
	done string
}

// NewRemove returns `freeagent webhooks remove`.
func NewRemove(streams session.IO) *cobra.Command {
	return newChange(streams, &changeOptions{change: func(ctx context.Context, c *api.Client, id string) (api.Webhook, error) {
		return c.Webhooks.Delete(ctx, id)
	}, done: "Removed webhook %s and its deliveries.\n"}, cobra.Command{
		Use: "remove WEBHOOK", Aliases: []string{"rm"}, Short: "Remove a webhook and its deliveries", Example: `  freeagent webhooks remove 7rqd2c`,
	})
}

// NewEnable returns `freeagent webhooks enable` or disable.
func NewEnable(streams session.IO, on bool) *cobra.Command {
	o := &changeOptions{change: func(ctx context.Context, c *api.Client, id string) (api.Webhook, error) {
		return c.Webhooks.Update(ctx, id, api.NewWebhook{Enabled: &on})
	}}
	if on {
		o.done = "Enabled webhook %s. Pending deliveries are sent now.\n"
		return newChange(streams, o, cobra.Command{
			Use: "enable WEBHOOK", Short: "Enable a disabled webhook and send its pending deliveries", Example: `  freeagent webhooks enable 7rqd2c`,
		})
	}
	o.done = "Disabled webhook %s.\n"
	return newChange(streams, o, cobra.Command{
		Use: "disable WEBHOOK", Short: "Stop sending to a webhook until you enable it", Example: `  freeagent webhooks disable 7rqd2c`,
	})
}

func newChange(streams session.IO, o *changeOptions, base cobra.Command) *cobra.Command {
	o.io = streams
	cmd := &base
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.id = args[0]
		return o.run(cmd.Context())
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVar(&o.json, "json", false, "print the webhook as JSON")
	return cmd
}

func (o *changeOptions) run(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	w, err := o.change(ctx, client, o.id)
	if err != nil {
		return about(o.id, err)
	}
	if o.json {
		return show.JSON(o.io.Out, w)
	}
	fmt.Fprintf(o.io.Out, o.done, w.ID)
	return nil
}
