package settings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
)

// Set is the settings of one program. Make it with New, let Flags take the command line, then call Load.
type Set struct {
	program string
	all     []setting
	foreign map[string]string

	flags    map[string]string
	config   string
	warnings []warning
}

// setting is one field that a variable sets.
type setting struct {
	name, flag, help string
	required, secret bool
	megabytes        bool
	value            reflect.Value
}

// New returns the settings of the struct that into points at; its values are the defaults. program names it in messages.
// foreign are variables of other programs that people may expect to work here, each with the reason why it does not: a flag or a
// line of the configuration file is refused with it, a variable of the environment is a warning.
func New(program string, into any, foreign map[string]string) *Set {
	return &Set{program: program, all: list(reflect.ValueOf(into).Elem()), foreign: foreign, flags: map[string]string{}}
}

// list returns the settings of a struct and of those in it, in order.
func list(v reflect.Value) (all []setting) {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		tag, ok := field.Tag.Lookup("env")
		if !ok {
			if value.Kind() == reflect.Struct && field.IsExported() {
				all = append(all, list(value)...)
			}
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		s := setting{
			name: name, flag: field.Tag.Get("flag"), help: field.Tag.Get("help"), value: value,
			required: options == "required", secret: field.Tag.Get("secret") == "true", megabytes: field.Tag.Get("unit") == "MB",
		}
		if s.flag == "" {
			s.flag = flagName(s.onCommandLine())
		}
		all = append(all, s)
	}
	return all
}

// onCommandLine is the variable that the setting's flag sets: a secret has a flag for its file only, because everybody on the
// machine can read command lines.
func (s setting) onCommandLine() string {
	if s.secret {
		return s.name + "_FILE"
	}
	return s.name
}

// unique returns the settings without those that repeat a variable.
func (s *Set) unique() (all []setting) {
	seen := map[string]bool{}
	for _, one := range s.all {
		if !seen[one.name] {
			all = append(all, one)
		}
		seen[one.name] = true
	}
	return all
}

// has reports whether a variable is a setting of this program.
func (s *Set) has(name string) bool {
	return slices.ContainsFunc(s.all, func(one setting) bool { return one.name == name })
}

// Load reads the settings from the command line, the environment and the configuration file into the struct. The error names
// every fault, and no secret.
func (s *Set) Load(environ []string) error {
	from, err := s.sources(environ)
	faults := []error{err}
	vars, err := s.merge(from)
	faults = append(faults, err)
	unread := map[string]bool{}
	for _, one := range s.unique() {
		if err := one.readSecret(vars); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.given(one, one.onCommandLine()), err))
			unread[one.name] = true
		}
	}
	told := map[string]bool{}
	for _, one := range s.all {
		if err := one.parse(s.given(one, one.name), vars[one.name]); err != nil && !unread[one.name] && !told[one.name] {
			faults = append(faults, err)
			told[one.name] = true
		}
	}
	return errors.Join(faults...)
}

// given returns what a fault calls the setting: its flag if the command line has it, else name.
func (s *Set) given(one setting, name string) string {
	if _, ok := s.flags[one.onCommandLine()]; ok {
		return "--" + one.flag
	}
	return name
}

// readSecret puts the content of a secret's file into vars, unless the secret itself is there.
func (s setting) readSecret(vars map[string]string) error {
	path := vars[s.name+"_FILE"]
	if !s.secret || path == "" || vars[s.name] != "" {
		return nil
	}
	data, err := ReadFile(path)
	if err != nil {
		return err
	}
	if vars[s.name] = strings.TrimSpace(string(data)); vars[s.name] == "" {
		return fmt.Errorf("%s is empty", path)
	}
	return nil
}

// warning is about a variable that was given.
type warning struct {
	name string
	// renamed is its new name; empty: it has no effect here, for the reason.
	renamed, reason string
}

// LogWarnings logs which old names were used and which variables have no effect.
func (s *Set) LogWarnings(ctx context.Context, log *slog.Logger) {
	for _, w := range s.warnings {
		if w.renamed != "" {
			log.WarnContext(ctx, "setting renamed", "old", w.name, "new", w.renamed)
		} else {
			log.WarnContext(ctx, "setting has no effect", "setting", w.name, "reason", w.reason)
		}
	}
}
