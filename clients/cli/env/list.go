package env

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// newList returns `freeagent env list`.
func newList(streams session.IO) *cobra.Command {
	c := &common{io: streams}
	var environment string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the variables of a project",
		Long:    "Lists the variables of a project by name. Only plain values are shown, also with --json. Needs a key of scope admin.",
		Example: `  freeagent env list
  freeagent env list --project shop --environment production --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.list(cmd.Context(), environment) },
	}
	c.add(cmd.Flags())
	cmd.Flags().StringVarP(&environment, "environment", "e", "", "only variables of this environment")
	return cmd
}

func (c *common) list(ctx context.Context, environment string) error {
	if environment != "" {
		if err := environments([]string{environment}); err != nil {
			return err
		}
	}
	if err := c.find(".", "cd"); err != nil {
		return err
	}
	client, err := c.connect.Client(c.io)
	if err != nil {
		return err
	}
	list, err := client.Variables.List(ctx, c.project, environment)
	if err != nil {
		return fmt.Errorf("list variables: %w", err)
	}
	if c.json {
		return c.print(list)
	}
	if len(list.Variables) == 0 {
		where := ""
		if environment != "" {
			where = " in environment " + environment
		}
		fmt.Fprintf(c.io.Out, "Project %s has no variables%s. Set one: freeagent env set NAME --environment production\n", show.Safe(c.project), where)
		return nil
	}
	tw := tabwriter.NewWriter(c.io.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tENVIRONMENT\tVISIBILITY\tVALUE\tSET")
	for _, v := range list.Variables {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", show.Safe(v.Name), show.Safe(v.Environment), show.Safe(v.Visibility), value(v), show.Ago(v.UpdatedAt, c.io.Now()))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// hidden stands for a value that is not shown.
const hidden = "(hidden)"

func value(v api.Variable) string {
	if v.Visibility != string(build.Plain) {
		return hidden
	}
	return oneLine(v.Value)
}

// oneLine shows a value in a table.
func oneLine(text string) string { return show.Safe(strings.ReplaceAll(text, "\n", `\n`)) }

func (c *common) print(v any) error { return show.JSON(c.io.Out, v) }
