// Package retention is `freeagent retention`.
package retention

import (
	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
)

// New returns the command with its verbs.
func New(streams session.IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retention",
		Short: "Set how long to keep builds, and see what would expire",
		Long: `A retention policy limits the age, number and size of ended builds. The farm's policy applies to every project without its
own. Builds beyond a limit expire: the server deletes their source, log and result, and remembers for some months when and
why they expired.

These builds never expire: unfinished ones, those that ended less than an hour ago, and pinned ones (freeagent pin).

A new policy takes effect after a day. Preview it with "freeagent retention plan".`,
		Example: `  freeagent retention plan
  freeagent retention set --age 30d --keep-last                   # shows what it would delete
  freeagent retention set --age 30d --keep-last --yes             # sets it
  freeagent retention set --project shop --builds 100 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return session.Usage("retention needs a subcommand: show, plan, set or unset")
		},
	}
	cmd.AddCommand(NewShow(streams), NewPlan(streams), NewSet(streams), NewUnset(streams))
	return cmd
}
