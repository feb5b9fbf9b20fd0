// Package logs is `freeagent logs`.
package logs

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type options struct {
	io           session.IO
	connect      session.Flags
	id           string
	follow, json bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "logs BUILD",
		Short: "Print a build's log",
		Example: `  freeagent logs 7rqd2c
  freeagent logs -f 7rqd2c            # live, until the build ends
  freeagent logs 7rqd2c --json | jq -r 'select(.level=="error").text'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return run(cmd.Context(), o)
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "print lines as they arrive, until the build ends")
	cmd.Flags().BoolVar(&o.json, "json", false, "print each line as a JSON object")
	return cmd
}

func run(ctx context.Context, o *options) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	if o.follow {
		b, err := follow(ctx, o.io, client, o.id, o.json)
		if err != nil {
			return err
		}
		return show.Outcome(b)
	}
	err = client.Builds.ReadLog(ctx, o.id, func(l api.LogLine) error { return printLine(o.io, l, o.json) })
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", o.id, err)
	}
	return nil
}

func printLine(s session.IO, l api.LogLine, asJSON bool) error {
	if asJSON {
		return show.JSON(s.Out, l)
	}
	show.Line(s, l)
	return nil
}

// Follow prints a build's log live and gives the build when it has ended. Ctrl-C stops the following only, and says so.
func Follow(ctx context.Context, s session.IO, client *api.Client, id string) (api.Build, error) {
	return follow(ctx, s, client, id, false)
}

func follow(ctx context.Context, s session.IO, client *api.Client, id string, asJSON bool) (api.Build, error) {
	b, err := client.Builds.FollowLog(ctx, id, func(l api.LogLine) error { return printLine(s, l, asJSON) })
	if ctx.Err() != nil {
		fmt.Fprintf(s.Err, "\nStopped following. Build %s continues.\nFollow again: freeagent logs -f %s\nCancel it:    freeagent cancel %s\n", id, id, id)
		return b, &session.ExitError{Code: session.ExitInterrupted}
	}
	if err != nil {
		return b, fmt.Errorf("follow the log of %s: %w", id, err)
	}
	return b, nil
}
