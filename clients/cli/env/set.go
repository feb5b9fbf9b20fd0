package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

type setOptions struct {
	common

	stdin        io.Reader
	environments []string
	visibility   string
	file         string
}

// newSet returns `freeagent env set`.
func newSet(streams session.IO) *cobra.Command {
	o := &setOptions{common: common{io: streams}}
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Set a variable of a project",
		Long: `Sets the variable in the environments, and replaces its value there. Builds that start from now on see it. Needs a key of scope
admin.

The value comes from standard input, or from --value-file; one line end at its end is dropped. On a terminal you are asked for it. Other
users of the machine can see a value on the command line, so only --visibility plain allows NAME=VALUE.

A value is text of at most 32 KiB. A project has at most 500 variables with 512 KiB of values in all of its environments.`,
		Example: `  freeagent env set SENTRY_AUTH_TOKEN --environment production < token
  freeagent env set GOOGLE_SERVICES_JSON --value-file google-services.json --visibility secret --environment production
  freeagent env set API_URL=https://api.example.com --visibility plain --environment preview --environment development`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.stdin = cmd.InOrStdin()
			return o.run(cmd.Context(), args[0])
		},
	}
	o.add(cmd.Flags())
	f := cmd.Flags()
	f.StringArrayVarP(&o.environments, "environment", "e", nil, "environment, such as production, preview or development (repeatable)")
	f.StringVar(&o.visibility, "visibility", string(build.Sensitive), "plain, sensitive or secret")
	f.StringVar(&o.file, "value-file", "", "file with the value (default: standard input)")
	return cmd
}

func (o *setOptions) run(ctx context.Context, arg string) error {
	visibility, err := build.ParseVisibility(o.visibility)
	if err != nil {
		return session.Usage("--visibility: %w", err)
	}
	if err := environments(o.environments); err != nil {
		return err
	}
	name, value, given := strings.Cut(arg, "=")
	if err := build.CheckVariableName(name); err != nil {
		return session.Usage("%w", err)
	}
	switch {
	case given && visibility != build.Plain:
		return session.Usage("other users can see a value on the command line. Give %s value %s on standard input or with --value-file, or set --visibility plain", visibility, name)
	case given && o.file != "":
		return session.Usage("%s has a value on the command line and one in --value-file. Give one of them", name)
	case !given:
		if value, err = o.read(name); err != nil {
			return err
		}
	}
	if err := build.CheckVariableValue(name, value); err != nil {
		return session.Usage("%w", err)
	}
	if err := o.find(".", "cd"); err != nil {
		return err
	}
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	list, err := client.Variables.Set(ctx, o.project, api.NewVariable{Name: name, Environments: o.environments, Visibility: string(visibility), Value: value})
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	if o.json {
		return o.print(list)
	}
	where := make([]string, len(list.Variables))
	for i, v := range list.Variables {
		where[i] = v.Environment
	}
	fmt.Fprintf(o.io.Out, "Set %s (%s) of project %s in %s.\n", name, visibility, show.Safe(o.project), show.Safe(strings.Join(where, ", ")))
	return nil
}

// read returns the value in the file or on standard input.
func (o *setOptions) read(name string) (string, error) {
	in := o.stdin
	if o.file != "" {
		f, err := os.Open(o.file)
		if err != nil {
			return "", fmt.Errorf("value of %s: %w", name, err)
		}
		defer f.Close()
		in = f
	} else if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return o.ask(f, name)
	}
	// A line end more than the limit, and a byte by which a value that is too large is noticed.
	data, err := io.ReadAll(io.LimitReader(in, build.MaxVariableBytes+3))
	if err != nil {
		return "", fmt.Errorf("read the value of %s: %w", name, err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// ask reads the value from a terminal, which does not show it.
func (o *setOptions) ask(f *os.File, name string) (string, error) {
	fmt.Fprintf(o.io.Err, "Value of %s (not shown): ", name)
	data, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(o.io.Err)
	if errors.Is(err, io.EOF) {
		return "", nil // it is empty, which is refused
	}
	if err != nil {
		return "", fmt.Errorf("read the value of %s: %w", name, err)
	}
	return string(data), nil
}
