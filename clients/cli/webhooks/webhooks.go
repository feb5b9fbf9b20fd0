// Package webhooks is `freeagent webhooks`.
package webhooks

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
)

// New returns the command with its verbs.
func New(streams session.IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "webhooks",
		Aliases: []string{"webhook"},
		Short:   "Say where events are sent, and see what became of them",
		Long: `Webhooks get events of builds and workers: as CloudEvents, in the shape of EAS's, as a message for Slack, or as commit
statuses at GitHub. They need a key of scope admin.`,
		Example: `  freeagent webhooks add https://example.com/builds
  gh auth token | freeagent webhooks add --format github --token-file -
  freeagent webhooks deliveries 7rqd2c --state dead
  freeagent webhooks replay 7rqd2c`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return session.Usage("webhooks: name what to do")
		},
	}
	cmd.AddCommand(NewAdd(streams), NewList(streams), NewRemove(streams), NewEnable(streams, true), NewEnable(streams, false), NewTest(streams),
		NewDeliveries(streams), NewReplay(streams))
	return cmd
}

// about says which webhook a request failed for.
func about(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("webhook %s: %w", id, err)
}
