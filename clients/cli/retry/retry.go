// Package retry is `freeagent retry`.
package retry

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
		Use:     "retry BUILD",
		Short:   "Submit a build's source again as a new build",
		Example: `  freeagent retry 7rqd2c`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return run(cmd.Context(), o)
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVar(&o.json, "json", false, "print the new build as JSON")
	return cmd
}

func run(ctx context.Context, o *options) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	sub, err := client.Builds.Retry(ctx, o.id)
	if err != nil {
		return fmt.Errorf("retry %s: %w", o.id, err)
	}
	if o.json {
		return show.JSON(o.io.Out, sub)
	}
	fmt.Fprintf(o.io.Out, "Resubmitted build %s as %s.\n", o.id, sub.ID)
	for _, w := range sub.Warnings {
		fmt.Fprintln(o.io.Err, "warning:", show.Safe(w))
	}
	return nil
}
