package version

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/appjson"
)

func newSet(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	var force bool
	cmd := &cobra.Command{
		Use:   "set N [DIR]",
		Short: "Set the last build number of an app",
		Long: `Sets the number that the app in DIR (default: the current directory) used last on a platform. The next build with autoIncrement gets
the one after it. Stores refuse numbers that were used before, so a lower number needs --force. Needs a key of scope admin.`,
		Example: `  freeagent version set --platform android 41
  freeagent version set --project shop --platform ios 1.2.3`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.platform == "" {
				return session.Usage("each platform has its own build number. Name it with --platform android or --platform ios")
			}
			client, err := o.open("set "+args[0], args[1:])
			if err != nil {
				return err
			}
			p := build.Platform(o.platform)
			if err := build.CheckNumber(p, args[0]); err != nil {
				return session.Usage("%w", err)
			}
			n, err := client.Numbers.Set(cmd.Context(), o.project, p, args[0], force)
			if errors.Is(err, build.ErrInvalid) && !force {
				return fmt.Errorf("set the %s of %s: %w. To lower it, use --force", appjson.NumberKey(p), o.project, err)
			}
			if err != nil {
				return fmt.Errorf("set the %s of %s: %w", appjson.NumberKey(p), o.project, err)
			}
			if o.json {
				return show.JSON(o.io.Out, n)
			}
			fmt.Fprintf(o.io.Out, "The last %s of %s is %s.%s\n", appjson.NumberKey(p), show.Safe(o.project), show.Safe(n.Last), nextOf(p, n))
			return nil
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "lower the number")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// nextOf says which number follows, if there is one.
func nextOf(p build.Platform, n api.BuildNumber) string {
	next, err := build.NumberAfter(p, n.Last)
	if err != nil {
		return ""
	}
	return " With autoIncrement, the next build has " + next + "."
}
