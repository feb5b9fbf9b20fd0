// Package cancel is `freeagent cancel`.
package cancel

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
)

type options struct {
	io      session.IO
	connect session.Flags
	id      string
	json    bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:     "cancel BUILD",
		Short:   "Cancel a waiting or running build",
		Example: `  freeagent cancel 7rqd2c`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return run(cmd.Context(), o)
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVar(&o.json, "json", false, "print the build as JSON")
	return cmd
}

func run(ctx context.Context, o *options) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	b, err := client.Builds.Cancel(ctx, o.id)
	if err != nil {
		return fmt.Errorf("cancel %s: %w", o.id, err)
	}
	if o.json {
		return show.JSON(o.io.Out, b)
	}
	fmt.Fprintf(o.io.Out, "Cancelled build %s.\n", b.ID)
	return nil
}
