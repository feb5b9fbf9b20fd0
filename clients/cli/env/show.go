package env

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

type showOptions struct {
	common

	dir, profile, platform string
}

// seen is what a build of a profile sees.
type seen struct {
	Project     string `json:"project"`
	Profile     string `json:"profile"`
	Platform    string `json:"platform"`
	Environment string `json:"environment"`
	// Order of the sources; later ones come before earlier ones.
	Order     []string `json:"order"`
	Variables []entry  `json:"variables"`
}

// entry is a variable as a build sees it.
type entry struct {
	Name string `json:"name"`
	// Value is absent if it is hidden.
	Value  *string `json:"value,omitempty"`
	Source string  `json:"source"`
	// Visibility of a variable of the farm.
	Visibility string `json:"visibility,omitempty"`
	// Replaces are the sources whose values do not count.
	Replaces []string `json:"replaces,omitempty"`
}

// The sources of variables, in their order.
const fromFarm, fromEAS, fromOwn = "farm", easjson.Name, profile.FileName

// newShow returns `freeagent env show`.
func newShow(streams session.IO) *cobra.Command {
	o := &showOptions{common: common{io: streams}}
	cmd := &cobra.Command{
		Use:   "show [DIR]",
		Short: "Show which variables a build would see",
		Long: `Prints the variables that a build of the app in DIR (default: the current directory) would see, where each comes from, and what it
replaces. Values that are not plain are hidden. Variables of the worker itself are not listed.

The farm's variables need a key of scope admin; without it the rest is printed.`,
		Example: `  freeagent env show --profile preview --platform android
  freeagent env show apps/mobile --profile production --platform ios --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dir = "."
			if len(args) == 1 {
				o.dir = args[0]
			}
			return o.run(cmd.Context())
		},
	}
	o.add(cmd.Flags())
	f := cmd.Flags()
	f.StringVarP(&o.platform, "platform", "p", "", "ios or android")
	f.StringVar(&o.profile, "profile", "", "build profile (default: "+easjson.Default+")")
	return cmd
}

func (o *showOptions) run(ctx context.Context) error {
	if o.platform != easjson.IOS && o.platform != easjson.Android {
		return session.Usage("--platform must be ios or android (got %q)", o.platform)
	}
	resolved, err := o.resolve()
	switch {
	case errors.Is(err, profile.ErrUnknown):
		return session.Usage("%w", err)
	case err != nil:
		return err
	}
	if err := o.find(o.dir, "freeagent env show --platform "+o.platform); err != nil {
		return err
	}
	s := seen{Project: o.project, Profile: resolved.Name, Platform: o.platform, Order: []string{fromFarm, fromEAS, fromOwn}}
	s.Environment, _ = resolved.Environment()
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	list, err := client.Variables.List(ctx, o.project, s.Environment)
	var refused *api.Error
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		fmt.Fprintln(o.io.Err, "warning: the farm's variables are missing here:", show.Safe(err.Error()))
	case err != nil:
		return fmt.Errorf("list variables: %w", err)
	}
	s.Variables = entries(list.Variables, resolved)
	if o.json {
		return o.print(s)
	}
	return o.table(s)
}

func (o *showOptions) resolve() (profile.Profile, error) {
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return profile.Profile{}, fmt.Errorf("open the app's directory: %w", err)
	}
	defer root.Close()
	return profile.Resolve(root.FS(), ".", o.platform, o.profile)
}

// entries merges the sources in their order and sorts by name.
func entries(farm []api.Variable, p profile.Profile) []entry {
	all := map[string]entry{}
	put := func(e entry) {
		if before, ok := all[e.Name]; ok {
			e.Replaces = slices.Concat(before.Replaces, []string{before.Source})
		}
		all[e.Name] = e
	}
	for _, v := range farm {
		e := entry{Name: v.Name, Source: fromFarm, Visibility: v.Visibility}
		if v.Visibility == string(build.Plain) {
			e.Value = &v.Value
		}
		put(e)
	}
	if p.EAS != nil {
		for name, value := range p.EAS.Env {
			put(entry{Name: name, Value: &value, Source: fromEAS})
		}
	}
	for name, value := range p.Own.Env {
		put(entry{Name: name, Value: &value, Source: fromOwn})
	}
	list := []entry{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return list
}

func (o *showOptions) table(s seen) error {
	name := s.Profile
	if name == "" {
		name = "none"
	}
	fmt.Fprintf(o.io.Out, "Project %s, profile %s for %s, environment %s\n\n", show.Safe(s.Project), show.Safe(name), s.Platform, show.Safe(s.Environment))
	fmt.Fprintf(o.io.Out, "Later sources replace earlier ones:\n1. the farm's variables of the environment (freeagent env list)\n2. env of the profile in %s\n3. env of the profile in %s\n\n",
		fromEAS, fromOwn)
	if len(s.Variables) == 0 {
		fmt.Fprintln(o.io.Out, "None of them has a variable.")
		return nil
	}
	tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tVALUE\tFROM\tREPLACES")
	for _, e := range s.Variables {
		value, source := hidden, e.Source
		if e.Value != nil {
			value = *e.Value
		}
		if e.Visibility != "" {
			source += " (" + e.Visibility + ")"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", show.Safe(e.Name), oneLine(value), show.Safe(source), replaced(e))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func replaced(e entry) string {
	return cmp.Or(strings.Join(e.Replaces, ", "), "-")
}
