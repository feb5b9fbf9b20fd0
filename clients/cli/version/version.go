// Package version is `freeagent version`: the version of the program and, in its subcommands, the
// build numbers of apps.
package version

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/pack"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/appjson"
	program "github.com/expo-free-agent/freeagent/shared/version"
)

// New returns the command.
func New(streams session.IO) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version, or manage the build numbers of apps", Args: cobra.NoArgs,
		Long: `Prints the version of this program. Its subcommands are for the build numbers of apps, versionCode (Android) and buildNumber (iOS),
which the server counts for each project and platform if eas.json has cli.appVersionSource remote.`,
		Example: `  freeagent version
  freeagent version get
  freeagent version set --platform android 41`,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return show.JSON(streams.Out, map[string]string{"version": program.Version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			fmt.Fprintf(streams.Out, "freeagent %s (%s, %s/%s)\n", program.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(newGet(streams), newSet(streams), newSync(streams))
	return cmd
}

// options of a subcommand.
type options struct {
	io      session.IO
	connect session.Flags
	// dir is the app's directory, "." if none was named.
	dir               string
	project, platform string
	json              bool
}

func (o *options) add(cmd *cobra.Command) {
	o.connect.Add(cmd.Flags())
	cmd.Flags().StringVar(&o.project, "project", "", "project name (default: slug in app.json, else name in package.json)")
	cmd.Flags().StringVarP(&o.platform, "platform", "p", "", "ios or android (default: both)")
}

// open fills in dir and project, checks the platform and returns a client.
func (o *options) open(command string, args []string) (*api.Client, error) {
	if o.dir = "."; len(args) == 1 {
		o.dir = args[0]
	}
	if o.platform != "" {
		if _, err := build.ParsePlatform(o.platform); err != nil {
			return nil, session.Usage("--platform must be ios or android (got %q)", o.platform)
		}
	}
	if o.project == "" {
		name, err := pack.Name(o.dir, "freeagent version "+command)
		if err != nil {
			return nil, err
		}
		if o.project = name; name == "" {
			return nil, session.Usage("the app in %s has no name. Name the project with --project", o.dir)
		}
	}
	return o.connect.Client(o.io)
}

// numbers reads the counters of the project and of the platform, if one was chosen.
func (o *options) numbers(ctx context.Context, client *api.Client) (api.BuildNumbers, error) {
	all, err := client.Numbers.Get(ctx, o.project)
	if err != nil {
		return all, fmt.Errorf("read the build numbers of %s: %w", o.project, err)
	}
	chosen := []api.BuildNumber{}
	for _, n := range all.Numbers {
		if o.platform == "" || n.Platform == o.platform {
			chosen = append(chosen, n)
		}
	}
	all.Numbers = chosen
	return all, nil
}

// setCommand is the command that starts a counter.
func (o *options) setCommand() string {
	return fmt.Sprintf("freeagent version set --project %s --platform %s N%s", session.Quote(o.project), cmp.Or(o.platform, "android"), o.connect.Args())
}

func newGet(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "get [DIR]",
		Short: "Print the last build numbers of an app",
		Long:  "Prints the versionCode (Android) and buildNumber (iOS) that the app in DIR (default: the current directory) used last, as the server counts them.",
		Example: `  freeagent version get
  freeagent version get --project shop --platform android --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := o.open("get", args)
			if err != nil {
				return err
			}
			numbers, err := o.numbers(cmd.Context(), client)
			if err != nil {
				return err
			}
			if o.json {
				return show.JSON(o.io.Out, numbers)
			}
			if len(numbers.Numbers) == 0 {
				fmt.Fprintf(o.io.Out, "The server has no build number of %s. Set the last one used: %s\n", show.Safe(o.project), o.setCommand())
				return nil
			}
			return o.print(numbers.Numbers)
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func (o *options) print(numbers []api.BuildNumber) error {
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	for _, n := range numbers {
		p := build.Platform(n.Platform)
		fmt.Fprintf(tw, "%s\t%s\t%s\tchanged %s\n", p, appjson.NumberKey(p), show.Safe(n.Last), show.Ago(n.ChangedAt, o.io.Now()))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
