// Package pin is `freeagent pin` and `freeagent unpin`.
package pin

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type options struct {
	io      session.IO
	connect session.Flags
	id      string
	note    string
	json    bool
	// change does it, done says so.
	change func(context.Context, *api.Client) (api.Build, error)
	done   string
}

// New returns `freeagent pin`.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams, done: "Pinned build %s. It will not expire until you unpin it.\n"}
	o.change = func(ctx context.Context, c *api.Client) (api.Build, error) { return c.Builds.Pin(ctx, o.id, o.note) }
	cmd := o.command(cobra.Command{
		Use:   "pin BUILD",
		Short: "Keep a build from expiring",
		Example: `  freeagent pin 7rqd2c
  freeagent pin 7rqd2c --note "release 1.4"`,
	})
	cmd.Flags().StringVar(&o.note, "note", "", "reason, shown with the build (at most 200 characters)")
	return cmd
}

// NewUnpin returns `freeagent unpin`.
func NewUnpin(streams session.IO) *cobra.Command {
	o := &options{io: streams, done: "Unpinned build %s. The retention policies apply to it again.\n"}
	o.change = func(ctx context.Context, c *api.Client) (api.Build, error) { return c.Builds.Unpin(ctx, o.id) }
	return o.command(cobra.Command{Use: "unpin BUILD", Short: "Let a pinned build expire again", Example: `  freeagent unpin 7rqd2c`})
}

func (o *options) command(base cobra.Command) *cobra.Command {
	cmd := &base
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.id = args[0]
		return o.run(cmd.Context())
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVar(&o.json, "json", false, "print the build as JSON")
	return cmd
}

func (o *options) run(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	b, err := o.change(ctx, client)
	if err != nil {
		return err
	}
	if o.json {
		return show.JSON(o.io.Out, b)
	}
	fmt.Fprintf(o.io.Out, o.done, b.ID)
	return nil
}
