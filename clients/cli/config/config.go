// Package config is `freeagent config`.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

type options struct {
	io                     session.IO
	dir, platform, profile string
	json                   bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "config [DIR]",
		Short: "Print a build profile and what is done with its keys",
		Long: `Prints the profile of eas.json that a build of the app in DIR (default: the current directory) would use, and what Free Agent
does with each of its keys. Needs no server. With --json, prints {"buildProfile": …} as "eas config --json" does.`,
		Example: `  freeagent config --platform android
  freeagent config apps/mobile --platform ios --profile preview
  freeagent config --platform ios --profile preview --json | jq .buildProfile.env`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			o.dir = "."
			if len(args) == 1 {
				o.dir = args[0]
			}
			return run(o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.platform, "platform", "p", "", "ios or android")
	f.StringVar(&o.profile, "profile", "", "build profile (default: "+easjson.Default+")")
	f.BoolVar(&o.json, "json", false, `print the profile of eas.json as JSON`)
	return cmd
}

func run(o *options) error {
	if o.platform != easjson.IOS && o.platform != easjson.Android {
		return session.Usage("--platform must be ios or android (got %q)", o.platform)
	}
	resolved, custom, err := o.resolve()
	switch {
	case errors.Is(err, profile.ErrUnknown):
		return session.Usage("%w", err)
	case err != nil:
		return err
	}
	if !o.json {
		return errors.Join(o.table(resolved), custom)
	}
	for _, w := range resolved.Warnings {
		fmt.Fprintln(o.io.Err, "warning:", w)
	}
	if resolved.EAS == nil {
		if resolved.Name == "" {
			return fmt.Errorf("no %s in %s. Create one, or go to your app's directory", easjson.Name, o.dir)
		}
		return fmt.Errorf("profile %q is in %s only. %s has none of that name", resolved.Name, profile.FileName, easjson.Name)
	}
	// Nothing is escaped, as eas-cli prints it.
	enc := json.NewEncoder(o.io.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]*easjson.Profile{"buildProfile": resolved.EAS}); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// resolve returns the profile, and what is wrong with its custom build. EAS does not look at that here.
func (o *options) resolve() (resolved profile.Profile, custom, err error) {
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return profile.Profile{}, nil, fmt.Errorf("open the app's directory: %w", err)
	}
	defer root.Close()
	if resolved, err = profile.Resolve(root.FS(), ".", o.platform, o.profile); err != nil {
		return profile.Profile{}, nil, err
	}
	custom = resolved.LoadCustom(root.FS(), ".", o.platform)
	return resolved, custom, nil
}
