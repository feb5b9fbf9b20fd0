package version

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/appjson"
)

func newSync(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "sync [DIR]",
		Short: "Write an app's last build numbers into app.json",
		Long: `Writes the numbers that the server counts into app.json of the app in DIR (default: the current directory), and changes nothing else in
it. An app with app.config.js or app.config.ts is told what to write instead. The native projects in android and ios stay as they are:
builds put the number there.`,
		Example: `  freeagent version sync
  freeagent version sync apps/mobile --platform ios`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := o.open("sync", args)
			if err != nil {
				return err
			}
			return o.sync(cmd.Context(), client)
		},
	}
	o.add(cmd)
	return cmd
}

func (o *options) sync(ctx context.Context, client *api.Client) error {
	numbers, err := o.numbers(ctx, client)
	if err != nil {
		return err
	}
	if len(numbers.Numbers) == 0 {
		return fmt.Errorf("the server has no build number of %s. Set the last one used: %s", o.project, o.setCommand())
	}
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return fmt.Errorf("open the app's directory: %w", err)
	}
	defer root.Close()
	if name := appjson.Dynamic(root.FS(), "."); name != "" {
		return o.tellDynamic(name, numbers.Numbers)
	}
	for _, n := range numbers.Numbers {
		if err := o.write(root, n); err != nil {
			return err
		}
	}
	return nil
}

// tellDynamic says what to write into a config that is a program.
func (o *options) tellDynamic(name string, numbers []api.BuildNumber) error {
	text := ""
	for _, n := range numbers {
		p, literal := build.Platform(n.Platform), n.Last
		if p == build.IOS {
			literal = "'" + n.Last + "'"
		}
		text += fmt.Sprintf("\n  %s: { %s: %s }", p, appjson.NumberKey(p), show.Safe(literal))
	}
	return fmt.Errorf("%s is a program, which cannot be edited safely. Nothing was changed. Write this into it:%s", filepath.Join(o.dir, name), text)
}

func (o *options) write(root *os.Root, n api.BuildNumber) error {
	p := build.Platform(n.Platform)
	if err := build.CheckNumber(p, n.Last); err != nil {
		return fmt.Errorf("the server's number for %s: %w", p, err)
	}
	edited, err := appjson.SetNumber(root.FS(), ".", p, n.Last)
	if errors.Is(err, appjson.ErrNoStatic) {
		return fmt.Errorf("%w in %s. Create one, or go to your app's directory", err, o.dir)
	}
	if err != nil {
		return err
	}
	info, err := root.Stat(edited.Path)
	if err == nil {
		err = root.WriteFile(edited.Path, edited.Data, info.Mode().Perm())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", edited.Path, err)
	}
	fmt.Fprintf(o.io.Out, "Wrote %s.%s %s into %s.\n", p, appjson.NumberKey(p), n.Last, filepath.Join(o.dir, edited.Path))
	return nil
}
