package webhooks

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type listOptions struct {
	io      session.IO
	connect session.Flags
	json    bool
}

// NewList returns `freeagent webhooks list`.
func NewList(streams session.IO) *cobra.Command {
	o := &listOptions{io: streams}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List webhooks and their state",
		Long:    `Lists webhooks, oldest first. URLs are shortened to the host, since the rest may be a secret; --json has the whole URL.`,
		Example: `  freeagent webhooks list`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVar(&o.json, "json", false, "print each webhook as a JSON object")
	return cmd
}

func (o *listOptions) run(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	list, err := client.Webhooks.List(ctx)
	if err != nil {
		return fmt.Errorf("list webhooks: %w", err)
	}
	if o.json {
		return show.Each(o.io.Out, list.Webhooks)
	}
	return o.table(list.Webhooks)
}

func (o *listOptions) table(all []api.Webhook) error {
	if len(all) == 0 {
		fmt.Fprintln(o.io.Out, "No webhooks. Add one: freeagent webhooks add URL")
		return nil
	}
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WEBHOOK\tFORMAT\tTO\tPROJECT\tEVENTS\tSTATE")
	for _, w := range all {
		project := w.Project
		if project == "" {
			project = "all"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", w.ID, w.Format, show.Safe(host(w.URL)), show.Safe(project), strings.Join(w.Events, ","), show.Safe(o.state(w)))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (o *listOptions) state(w api.Webhook) string {
	switch {
	case !w.Enabled && w.DisabledReason != "":
		return "disabled: " + w.DisabledReason
	case !w.Enabled:
		return "disabled"
	case w.FailingSince != "":
		return "failing since " + show.Ago(w.FailingSince, o.io.Now())
	case w.SucceededAt != "":
		return "delivered " + show.Ago(w.SucceededAt, o.io.Now())
	}
	return "nothing delivered yet"
}

// host is as much of a URL as everybody may see: Slack's, for example, are secrets.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "?"
	}
	short := u.Scheme + "://" + u.Host
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		short += "/…"
	}
	return short
}
