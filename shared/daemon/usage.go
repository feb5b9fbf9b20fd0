package daemon

import (
	"fmt"
	"reflect"
	"strings"
)

const configHelp = `
Settings come from the command line, else from the environment, else from a file of lines NAME=value (--config FILE or
FREEAGENT_CONFIG_FILE). A name that no program of Free Agent knows is refused. --check-config names every fault and ends
without connecting to anything; the exit code is 0 if there is none. --probe URL asks a running one, such as
http://127.0.0.1:3001/readyz; the exit code is 0 if it answers 200. -version prints the version.
`

// usage is made of the settings themselves.
func usage(name, about string, settings any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s [--config FILE] [--check-config] [--SETTING VALUE ...]\n\n%s\n%s\n", name, about, configHelp)
	all := settingsOf(settings)
	width, flagWidth := 0, 0
	for _, s := range all {
		width, flagWidth = max(width, len(s.name)), max(flagWidth, len(s.flag()))
	}
	secrets := 0
	for _, s := range all {
		if s.secret {
			secrets++
		}
		fmt.Fprintf(&b, "  %-*s %-*s %s\n", width, s.name, flagWidth, s.flag(), s.describe())
	}
	if secrets > 0 {
		b.WriteString("\n* can be read from a file: append _FILE to the variable's name. Its value is never taken from the command line.\n")
	}
	return b.String()
}

func (s setting) flag() string {
	if s.secret {
		return "--" + flagName(s.name+"_FILE")
	}
	return "--" + flagName(s.name)
}

func (s setting) describe() string {
	text := s.help
	switch {
	case s.required:
		text += " (required)"
	case !s.value.IsZero() && s.value.Kind() != reflect.Map:
		text += fmt.Sprintf(" (default %v)", s.value)
	}
	if s.secret {
		text = "* " + text
	}
	return text
}
