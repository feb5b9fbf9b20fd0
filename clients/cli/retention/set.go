package retention

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type setOptions struct {
	io      session.IO
	connect session.Flags

	project                      string
	age, keepLastAge, workerAge  string
	size, farmSize               string
	builds                       int64
	keepLast, keepAll, yes, json bool
}

// NewSet returns `freeagent retention set`.
func NewSet(streams session.IO) *cobra.Command {
	o := &setOptions{io: streams}
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Set the retention policy of the farm or of a project",
		Long: `Replaces the policy of the farm or, with --project, of one project. Without --yes it only shows what the new policy would
delete. A policy takes effect one day after you set it.

The flags are the whole policy: a limit that you leave out is removed.`,
		Example: `  freeagent retention set --age 30d --keep-last --farm-size 200GiB          # shows what it would delete
  freeagent retention set --age 30d --keep-last --farm-size 200GiB --yes    # sets it
  freeagent retention set --project shop --builds 100 --yes
  freeagent retention set --project archive --keep-all --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.connect.Add(cmd.Flags())
	o.flags(cmd.Flags())
	return cmd
}

func (o *setOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.project, "project", "", "project of the policy (default: the whole farm)")
	f.StringVar(&o.age, "age", "", "maximum age since a build's end, such as 30d")
	f.Int64Var(&o.builds, "builds", 0, "maximum number of ended builds per project")
	f.StringVar(&o.size, "size", "", "maximum size of sources and results per project, such as 50GiB")
	f.StringVar(&o.farmSize, "farm-size", "", "maximum size of sources and results of all projects together (farm only)")
	f.BoolVar(&o.keepLast, "keep-last", false, "keep the last successful build of each branch, platform and profile")
	f.StringVar(&o.keepLastAge, "keep-last-age", "", "time that --keep-last keeps a build, such as 365d (default: forever)")
	f.StringVar(&o.workerAge, "worker-age", "", "time offline after which a worker is removed, such as 90d (farm only)")
	f.BoolVar(&o.keepAll, "keep-all", false, "no limits: keep every build")
	f.BoolVarP(&o.yes, "yes", "y", false, "set the policy (default: only show what would expire)")
	f.BoolVar(&o.json, "json", false, "print JSON")
}

func (o *setOptions) policy() (p api.RetentionPolicy, err error) {
	var faults [5]error
	p.MaxAgeSeconds, faults[0] = parseAge("age", o.age)
	p.KeepLastSeconds, faults[1] = parseAge("keep-last-age", o.keepLastAge)
	p.WorkerAgeSeconds, faults[2] = parseAge("worker-age", o.workerAge)
	p.MaxBytes, faults[3] = parseSize("size", o.size)
	p.FarmBytes, faults[4] = parseSize("farm-size", o.farmSize)
	for _, err := range faults {
		if err != nil {
			return p, err
		}
	}
	p.MaxBuilds, p.KeepLastSuccessful = o.builds, o.keepLast
	limited := p.MaxAgeSeconds != 0 || p.MaxBuilds != 0 || p.MaxBytes != 0 || p.FarmBytes != 0 || p.WorkerAgeSeconds != 0
	switch {
	case !limited && !o.keepAll:
		return p, session.Usage("retention set needs a limit (--age, --builds, --size, --farm-size) or --keep-all")
	case limited && o.keepAll:
		return p, session.Usage("--keep-all cannot be combined with a limit")
	}
	return p, nil
}

func (o *setOptions) run(ctx context.Context) error {
	p, err := o.policy()
	if err != nil {
		return err
	}
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	if !o.yes {
		plan, err := client.Retention.PlanWith(ctx, o.project, &p, defaultLimit)
		return o.tried(plan, err)
	}
	r, err := client.Retention.Set(ctx, o.project, p)
	return o.set(r, err)
}

// tried shows what would happen.
func (o *setOptions) tried(plan api.RetentionPlan, err error) error {
	if err != nil {
		return fmt.Errorf("preview the retention policy: %w", err)
	}
	if o.json {
		return show.JSON(o.io.Out, plan)
	}
	if err := printPlan(o.io, plan); err != nil {
		return err
	}
	fmt.Fprintln(o.io.Out, "\nNothing changed. Run the command again with --yes to change the policy.")
	return nil
}

// set shows what holds now.
func (o *setOptions) set(r api.Retention, err error) error {
	if err != nil {
		return fmt.Errorf("change the retention policy: %w", err)
	}
	if o.json {
		return show.JSON(o.io.Out, r)
	}
	return printRetention(o.io, r)
}

// NewUnset returns `freeagent retention unset`.
func NewUnset(streams session.IO) *cobra.Command {
	o := &setOptions{io: streams}
	cmd := &cobra.Command{
		Use:   "unset",
		Short: "Remove the retention policy of the farm or of a project",
		Long: `Removes a policy. The farm's policy then applies to the project; a farm without a policy keeps every build. Without --yes it
only shows what would expire.`,
		Example: `  freeagent retention unset --project shop
  freeagent retention unset --project shop --yes
  freeagent retention unset --yes                     # keep everything`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.unset(cmd.Context()) },
	}
	o.connect.Add(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&o.project, "project", "", "project whose policy to remove (default: the whole farm)")
	f.BoolVarP(&o.yes, "yes", "y", false, "remove the policy (default: only show what would expire)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func (o *setOptions) unset(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	if !o.yes {
		plan, err := client.Retention.PlanWith(ctx, o.project, nil, defaultLimit)
		return o.tried(plan, err)
	}
	r, err := client.Retention.Delete(ctx, o.project)
	return o.set(r, err)
}
