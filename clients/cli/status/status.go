// Package status is `freeagent status`.
package status

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
)

type options struct {
	io          session.IO
	connect     session.Flags
	id          string
	watch, json bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "status BUILD",
		Short: "Show a build: its state, stage, worker, result",
		Example: `  freeagent status 7rqd2c
  freeagent status 7rqd2c --watch
  freeagent status 7rqd2c --json | jq -r .result.sha256`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return run(cmd.Context(), o)
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "print it again on every change, until the build ends")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

const watchEvery = time.Second

func run(ctx context.Context, o *options) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	shown := ""
	for {
		b, err := client.Builds.Get(ctx, o.id)
		if err != nil {
			return fmt.Errorf("build %s: %w", o.id, err)
		}
		if now := b.Status + b.Stage + b.WaitingFor; now != shown {
			shown = now
			if o.json {
				err = show.JSON(o.io.Out, b)
			} else {
				err = show.Build(o.io, b)
			}
		}
		if err != nil || !o.watch {
			return err
		}
		if b.Final() {
			return show.Outcome(b)
		}
		select {
		case <-ctx.Done():
			return &session.ExitError{Code: session.ExitInterrupted}
		case <-time.After(watchEvery):
		}
	}
}
