// Package env is `freeagent env`.
package env

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/pack"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// New returns the command with its subcommands.
func New(streams session.IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Manage the variables that builds of a project get",
		Long: `A project has variables by environment: production, preview, development, or a name of your own. A build gets those of the
environment that its profile names in eas.json ("environment"). Without it: production for store distribution, else development with
developmentClient, else preview. Variables of the profile itself come before them.

Visibility says where a value may show: plain in lists and logs, sensitive and secret nowhere. Nobody but a build can read them.`,
		Example: `  freeagent env set SENTRY_AUTH_TOKEN --environment production < token
  freeagent env set API_URL=https://api.example.com --visibility plain --environment preview --environment development
  freeagent env list
  freeagent env show --profile preview --platform android`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return session.Usage("env needs a subcommand, such as list or set")
		},
	}
	cmd.AddCommand(newList(streams), newSet(streams), newUnset(streams), newShow(streams))
	return cmd
}

// common are the flags of all subcommands.
type common struct {
	io      session.IO
	connect session.Flags
	project string
	json    bool
}

func (c *common) add(f *pflag.FlagSet) {
	c.connect.Add(f)
	f.StringVar(&c.project, "project", "", "project name (default: slug in app.json, else name in package.json)")
	f.BoolVar(&c.json, "json", false, "print JSON")
}

// find fills in the project of the app in dir, unless a flag names it. command names an app, for a hint.
func (c *common) find(dir, command string) error {
	if c.project != "" {
		return nil
	}
	name, err := pack.Name(dir, command)
	if err != nil {
		return session.Usage("%w\nOr name the project with --project", err)
	}
	if name == "" {
		return session.Usage("the app in %s has no name. Name the project with --project", dir)
	}
	c.project = name
	return nil
}

// environments checks the values of --environment.
func environments(names []string) error {
	if len(names) == 0 {
		return session.Usage("name an environment, such as --environment production. The flag is repeatable")
	}
	for _, name := range names {
		if err := build.CheckEnvironment(name); err != nil {
			return session.Usage("--environment: %w", err)
		}
	}
	return nil
}

// newUnset returns `freeagent env unset`.
func newUnset(streams session.IO) *cobra.Command {
	c := &common{io: streams}
	var from []string
	cmd := &cobra.Command{
		Use:     "unset NAME",
		Short:   "Remove a variable of a project",
		Long:    "Removes the variable from the environments. Running builds keep it. Needs a key of scope admin.",
		Example: `  freeagent env unset SENTRY_AUTH_TOKEN --environment preview`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.unset(cmd.Context(), args[0], from)
		},
	}
	c.add(cmd.Flags())
	cmd.Flags().StringArrayVarP(&from, "environment", "e", nil, "environment to remove it from (repeatable)")
	return cmd
}

func (c *common) unset(ctx context.Context, name string, from []string) error {
	if err := environments(from); err != nil {
		return err
	}
	if err := c.find(".", "cd"); err != nil {
		return err
	}
	client, err := c.connect.Client(c.io)
	if err != nil {
		return err
	}
	had, err := client.Variables.Unset(ctx, c.project, name, from)
	if err != nil {
		return fmt.Errorf("unset %s: %w", name, err)
	}
	if len(had.Environments) == 0 {
		return fmt.Errorf("project %s has no variable %s in %s. List them with \"freeagent env list\"", c.project, name, strings.Join(from, ", "))
	}
	if c.json {
		return c.print(had)
	}
	fmt.Fprintf(c.io.Out, "Removed %s of project %s from %s.\n", name, c.project, strings.Join(had.Environments, ", "))
	return nil
}
