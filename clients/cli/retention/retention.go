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
		Short: "Set how long builds are kept, and see what will expire",
		Long: `A retention policy limits the age, the number and the size of ended builds. The farm's policy holds for every project
without a policy of its own. Builds beyond a limit expire: their source, log and result are deleted, and for some months the
server still says when and why they expired.

These never expire: builds that have not ended, builds that ended less than an hour ago, and pinned builds (freeagent pin).

A change of policy waits a day before anything expires by it. "freeagent retention plan" shows what will go.`,
		Example: `  freeagent retention plan
  freeagent retention set --age 30d --keep-last                   # shows what it would delete
  freeagent retention set --age 30d --keep-last --yes             # sets it
  freeagent retention set --project shop --builds 100 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return session.Usage("retention: name a verb: show, plan, set or unset")
		},
	}
	cmd.AddCommand(NewShow(streams), NewPlan(streams), NewSet(streams), NewUnset(streams))
	return cmd
}
