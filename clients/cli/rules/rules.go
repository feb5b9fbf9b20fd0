// Package rules is `freeagent rules`.
package rules

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type options struct {
	io      session.IO
	connect session.Flags
	json    bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Show or set how projects and pools share the farm",
		Long: `Shows the dispatch rules of projects and pools, and the defaults that apply to all others.

Waiting projects share the farm by weight: weight 20 gets twice the build time of weight 10. A limit bounds how many builds of
a project or pool run at once. Higher priorities go first. A waiting build gains one step of priority at the interval shown at
the end of the output, so even a low priority gets its turn.`,
		Example: `  freeagent rules
  freeagent rules project shop --weight 20 --max-running 4
  freeagent rules project nightly --max-priority 0
  freeagent rules project shop --reset
  freeagent rules pool default --max-running 10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.list(cmd.Context()) },
	}
	o.connect.Add(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON")
	cmd.AddCommand(newProject(o), newPool(o))
	return cmd
}

func newProject(o *options) *cobra.Command {
	var rule api.ProjectRule
	var maxPriority int32
	var reset bool
	cmd := &cobra.Command{
		Use:   "project NAME",
		Short: "Set the rule of a project",
		Long:  "Changes the settings that flags name and keeps the others. Running builds continue. Needs a key of scope admin.",
		Example: `  freeagent rules project shop --weight 20
  freeagent rules project shop --max-running 4 --supersede
  freeagent rules project shop --reset`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.Int32Var(&rule.Weight, "weight", 0, "share of the farm relative to other projects, 1 to 1000 (0: the default)")
	f.Int32Var(&rule.MaxRunning, "max-running", 0, "maximum number of builds that run at once (0: no limit)")
	f.Int32Var(&maxPriority, "max-priority", 0, "maximum priority of a submit, -100 to 100")
	f.BoolVar(&rule.Supersede, "supersede", false, "cancel unfinished builds of older commits on the same branch with each submit")
	f.BoolVar(&reset, "reset", false, "remove the rule")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !reset && !changed(cmd, "weight", "max-running", "max-priority", "supersede") {
			return session.Usage("rules project needs a setting, such as --weight 20. See: freeagent rules project --help")
		}
		if reset && changed(cmd, "weight", "max-running", "max-priority", "supersede") {
			return session.Usage("--reset removes the rule and cannot be combined with a setting")
		}
		client, err := o.connect.Client(o.io)
		if err != nil {
			return err
		}
		merged := api.ProjectRule{}
		if !reset {
			if merged, err = currentRule(cmd.Context(), client, args[0]); err != nil {
				return err
			}
			mergeProject(cmd, &merged, rule, maxPriority)
		}
		out, err := client.Rules.SetProject(cmd.Context(), args[0], merged)
		if err != nil {
			return fmt.Errorf("set rule: %w", err)
		}
		if o.json {
			return show.JSON(o.io.Out, out)
		}
		return o.list(cmd.Context())
	}
	return cmd
}

func currentRule(ctx context.Context, client *api.Client, project string) (api.ProjectRule, error) {
	rules, err := client.Rules.Get(ctx)
	if err != nil {
		return api.ProjectRule{}, fmt.Errorf("read rules: %w", err)
	}
	if i := slices.IndexFunc(rules.Projects, func(r api.ProjectRule) bool { return r.Name == project }); i >= 0 {
		return rules.Projects[i], nil
	}
	return api.ProjectRule{}, nil
}

func mergeProject(cmd *cobra.Command, into *api.ProjectRule, flags api.ProjectRule, maxPriority int32) {
	if changed(cmd, "weight") {
		into.Weight = flags.Weight
	}
	if changed(cmd, "max-running") {
		into.MaxRunning = flags.MaxRunning
	}
	if changed(cmd, "max-priority") {
		into.MaxPriority = &maxPriority
	}
	if changed(cmd, "supersede") {
		into.Supersede = flags.Supersede
	}
}

func newPool(o *options) *cobra.Command {
	var rule api.PoolRule
	var reset bool
	cmd := &cobra.Command{
		Use:   "pool NAME",
		Short: "Set the rule of a pool",
		Long:  "Limits how many builds of a pool run at once. Running builds continue. Needs a key of scope admin.",
		Example: `  freeagent rules pool default --max-running 10
  freeagent rules pool default --reset`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.Int32Var(&rule.MaxRunning, "max-running", 0, "maximum number of builds that run at once (0: no limit)")
	f.BoolVar(&reset, "reset", false, "remove the rule")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !reset && !changed(cmd, "max-running") {
			return session.Usage("rules pool needs a setting, such as --max-running 10. See: freeagent rules pool --help")
		}
		if reset && changed(cmd, "max-running") {
			return session.Usage("--reset removes the rule and cannot be combined with a setting")
		}
		client, err := o.connect.Client(o.io)
		if err != nil {
			return err
		}
		out, err := client.Rules.SetPool(cmd.Context(), args[0], rule)
		if err != nil {
			return fmt.Errorf("set rule: %w", err)
		}
		if o.json {
			return show.JSON(o.io.Out, out)
		}
		return o.list(cmd.Context())
	}
	return cmd
}

func changed(cmd *cobra.Command, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return cmd.Flags().Changed(n) })
}

func (o *options) list(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	rules, err := client.Rules.Get(ctx)
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	if o.json {
		return show.JSON(o.io.Out, rules)
	}
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PROJECT\tWEIGHT\tMAX RUNNING\tMAX PRIORITY\tSUPERSEDE")
	for _, p := range rules.Projects {
		weight, priority := p.Weight, rules.DefaultMaxPriority
		if weight == 0 {
			weight = rules.DefaultWeight
		}
		if p.MaxPriority != nil {
			priority = *p.MaxPriority
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\t%d\t%s\n", show.Safe(p.Name), weight, limit(p.MaxRunning), priority, yes(p.Supersede))
	}
	fmt.Fprintf(tw, "(all others)\t%d\t-\t%d\t-\n", rules.DefaultWeight, rules.DefaultMaxPriority)
	if len(rules.Pools) > 0 {
		fmt.Fprintln(tw, "\nPOOL\tMAX RUNNING")
		for _, p := range rules.Pools {
			fmt.Fprintf(tw, "%s\t%s\n", show.Safe(p.Name), limit(p.MaxRunning))
		}
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if rules.AgeSeconds > 0 {
		fmt.Fprintf(o.io.Out, "\nA waiting build gains one step of priority every %s.\n", show.Duration(time.Duration(rules.AgeSeconds)*time.Second))
	}
	return nil
}

func limit(n int32) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}
