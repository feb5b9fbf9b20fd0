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
		Short:   "Manage webhooks and their deliveries",
		Long: `Webhooks receive events of builds and workers as CloudEvents, as EAS webhooks, as Slack messages, or as commit statuses on
GitHub. Managing them needs a key of scope admin.`,
		Example: `  freeagent webhooks add https://example.com/builds
  gh auth token | freeagent webhooks add --format github --token-file -
  freeagent webhooks deliveries 7rqd2c --state dead
  freeagent webhooks replay 7rqd2c`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return session.Usage("webhooks needs a subcommand, such as list or add")
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
