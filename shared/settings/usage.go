package settings

import (
	"fmt"
	"strings"
)

// Sources explains to users where settings come from.
const Sources = `Settings come from the command line, else from the environment, else from a file of lines NAME=value (--config FILE or
` + configVariable + `). An unknown name is an error. --check-config checks all settings and exits without connecting to anything.
`

// Usage lists the settings, one a line: variable, flag, description and default.
func (s *Set) Usage() string {
	var b strings.Builder
	all := s.unique()
	width, flagWidth := 0, 0
	for _, one := range all {
		width, flagWidth = max(width, len(one.name)), max(flagWidth, len(one.flag)+2)
	}
	secrets := 0
	for _, one := range all {
		if one.secret {
			secrets++
		}
		fmt.Fprintf(&b, "  %-*s %-*s %s\n", width, one.name, flagWidth, "--"+one.flag, one.describe())
	}
	if secrets > 0 {
		b.WriteString("\n* can be read from a file: append _FILE to the variable's name. Its value is never taken from the command line.\n")
	}
	return b.String()
}

func (s setting) describe() string {
	text := s.help
	switch {
	case s.required:
		text += " (required)"
	case s.text() != "" && !s.secret:
		text += " (default " + s.text() + ")"
	}
	if s.secret {
		text = "* " + text
	}
	return text
}

// OK is what --check-config prints when it found no fault.
const OK = "configuration OK"
