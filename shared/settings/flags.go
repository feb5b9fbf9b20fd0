package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Flag is a flag of the command line. It is a flag.Value and has what pflag.Value wants.
type Flag struct {
	// Name is without dashes.
	Name string
	// Help is its description; empty for an old name.
	Help string
	// Hidden flags are accepted and not listed: old names, and those of settings that have no effect.
	Hidden bool
	// Setting is false for --config, for old names and for flags that have no effect.
	Setting bool

	kind, text string
	set        func(string) error
}

// Set implements flag.Value.
func (f *Flag) Set(text string) error { return f.set(text) }

// String returns the default.
func (f *Flag) String() string { return f.text }

// Type names the kind of value for pflag.
func (f *Flag) Type() string { return f.kind }

// IsBoolFlag reports whether the flag may stand without a value.
func (f *Flag) IsBoolFlag() bool { return f.kind == "bool" }

// Flags returns the flags of all settings, of their old names, and --config. What they are set to counts when Load is called.
func (s *Set) Flags() []*Flag {
	flags := []*Flag{{
		Name: "config", Help: "file of settings, lines NAME=value (" + configVariable + ")", kind: "string",
		set: func(path string) error { s.config = path; return nil },
	}}
	for _, one := range s.unique() {
		flags = append(flags, &Flag{
			Name: one.flag, Help: one.help, Setting: true, kind: kindOf(one.value.Type()), text: one.text(),
			set: s.collect(one.onCommandLine(), one.value.Kind()),
		})
		if one.secret {
			last := flags[len(flags)-1]
			last.Help, last.text = "file with the "+one.help, "" // its default, if there is one, is not shown
		}
	}
	return append(append(flags, s.oldFlags()...), s.foreignFlags()...)
}

// collect returns a setter that keeps the value for Load. Lists may be given in parts.
func (s *Set) collect(name string, kind reflect.Kind) func(string) error {
	return func(text string) error {
		if before, again := s.flags[name]; again && (kind == reflect.Map || kind == reflect.Slice) {
			text = before + "," + text
		}
		s.flags[name] = text
		return nil
	}
}

func (s *Set) oldFlags() (flags []*Flag) {
	for _, r := range Renamed() {
		for _, one := range s.unique() {
			if one.name != r.New {
				continue
			}
			f := &Flag{Name: r.oldFlag(), Hidden: true, kind: kindOf(one.value.Type()), set: s.collect(r.Old, one.value.Kind())}
			if r.Value != "" {
				f.kind, f.set = "bool", s.collectSwitch(r)
			}
			flags = append(flags, f)
		}
	}
	return flags
}

// collectSwitch returns the setter of a switch that stands for a value of another setting today.
func (s *Set) collectSwitch(r Rename) func(string) error {
	return func(text string) error {
		switch text {
		case "true":
			s.flags[r.Old] = r.Value
		case "false":
		default:
			return errors.New("must be true or false")
		}
		return nil
	}
}

func (s *Set) foreignFlags() (flags []*Flag) {
	for name, reason := range s.foreign {
		refuse := func(string) error { return fmt.Errorf("%s: %s", noEffect(s.program), reason) }
		flags = append(flags, &Flag{Name: flagName(name), Hidden: true, kind: "string", set: refuse})
		if !strings.HasSuffix(name, "_FILE") { // it may be a secret
			flags = append(flags, &Flag{Name: flagName(name) + "-file", Hidden: true, kind: "string", set: refuse})
		}
	}
	return flags
}

func noEffect(program string) string { return "has no effect on " + program }

// flagName is that of a variable's flag: FREEAGENT_NATS_URL is --nats-url.
func flagName(variable string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, prefix), "_", "-"))
}

func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.Bool:
		return "bool"
	case reflect.Zero(t).CanInt():
		return "int"
	}
	return "string"
}
