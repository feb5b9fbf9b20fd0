package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/shared/settings"
)

// Settings connects the settings of a program to its command: a flag for each, --check-config and --list-settings.
type Settings struct {
	*settings.Set
	check, list bool
}

// NewSettings adds the flags of the settings to cmd.
func NewSettings(cmd *cobra.Command, set *settings.Set) *Settings {
	s := &Settings{Set: set}
	flags := cmd.Flags()
	for _, f := range set.Flags() {
		added := flags.VarPF(f, f.Name, "", f.Help)
		added.Hidden = f.Hidden
		if f.IsBoolFlag() {
			added.NoOptDefVal = "true"
		}
	}
	flags.BoolVar(&s.check, "check-config", false, "check all settings and exit")
	flags.BoolVar(&s.list, "list-settings", false, "list all settings with their environment variables and exit")
	return s
}

// Listed reports whether --list-settings was given, and lists them then.
func (s *Settings) Listed(out io.Writer) bool {
	if s.list {
		fmt.Fprintf(out, "%s\n%s", settings.Sources, s.Usage())
	}
	return s.list
}

// Checked reports whether --check-config was given, and says that no fault was found then.
func (s *Settings) Checked(out io.Writer) bool {
	if s.check {
		fmt.Fprintln(out, settings.OK)
	}
	return s.check
}
