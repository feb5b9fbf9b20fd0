package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

// row is a line of the table.
type row struct{ key, value, support, does string }

// table prints the profile for people.
func (o *options) table(p profile.Profile) error {
	if p.Name == "" {
		fmt.Fprintf(o.io.Out, "No %s and no profile in %s: the build runs the built-in pipeline without a profile.\n", easjson.Name, profile.FileName)
		return nil
	}
	fmt.Fprintf(o.io.Out, "Profile %s for %s\n", show.Safe(p.Name), o.platform)
	if p.EAS != nil {
		rows, err := o.rows(p)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.io.Out, "\n%s:\n", easjson.Name)
		tw := tabwriter.NewWriter(o.io.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "KEY\tVALUE\tSUPPORT\tEFFECT")
		for _, r := range rows {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", show.Safe(r.key), show.Safe(r.value), r.support, r.does)
		}
		if err := tw.Flush(); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	o.own(p.Own)
	for _, w := range p.Warnings {
		fmt.Fprintln(o.io.Err, "warning:", show.Safe(w))
	}
	return nil
}

// own prints what freeagent.json says over eas.json.
func (o *options) own(own profile.Own) {
	var lines []string
	if len(own.Stages) > 0 {
		names := make([]string, 0, len(own.Stages))
		for _, s := range own.Stages {
			names = append(names, s.Name)
		}
		lines = append(lines, "stages  "+strings.Join(names, ", "), "result  "+own.Result)
	}
	if len(own.Env) > 0 {
		lines = append(lines, "env     "+strings.Join(slices.Sorted(maps.Keys(own.Env)), ", "))
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(o.io.Out, "\n%s, which comes first:\n", profile.FileName)
	for _, line := range lines {
		fmt.Fprintln(o.io.Out, show.Safe(line))
	}
}

// rows returns the keys of cli and of the profile with their values.
func (o *options) rows(p profile.Profile) ([]row, error) {
	values, err := fields(p.EAS)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, name := range slices.Sorted(maps.Keys(values)) {
		k, _ := easjson.KeyOf(o.platform, name)
		r := row{name, text(values[name]), k.Support.String(), k.Does}
		if !slices.Contains(p.EAS.Keys, name) {
			r.value += " (default)"
		}
		switch name {
		case "cache":
			cache, err := fields(p.EAS.Cache)
			if err != nil {
				return nil, err
			}
			for _, part := range slices.Sorted(maps.Keys(cache)) {
				k, _ := easjson.KeyOf(o.platform, "cache."+part)
				rows = append(rows, row{"cache." + part, text(cache[part]), k.Support.String(), k.Does})
			}
		case "env":
			rows = append(rows, variables(p.EAS.Env, r)...)
		default:
			rows = append(rows, r)
		}
	}
	return o.addCli(rows, p.Cli)
}

// variables returns a row for each variable. The effect is on the first one.
func variables(env map[string]string, first row) []row {
	var rows []row
	for _, name := range slices.Sorted(maps.Keys(env)) {
		rows = append(rows, row{"env." + name, env[name], first.support, first.does})
		first.does = ""
	}
	return rows
}

func (o *options) addCli(rows []row, cli *easjson.Cli) ([]row, error) {
	if cli == nil {
		return rows, nil
	}
	values, err := fields(cli)
	if err != nil {
		return nil, err
	}
	for _, k := range easjson.Keys() {
		if v, ok := values[k.Name]; ok && k.Section == easjson.InCli {
			rows = append(rows, row{"cli." + k.Name, text(v), k.Support.String(), k.Does})
		}
	}
	return rows, nil
}

// fields returns the keys of a struct that its JSON has.
func fields(v any) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(v)
	var out map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("read the profile: %w", err)
	}
	return out, nil
}

// text writes a value without the quotes of JSON.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return strings.Join(list, ", ")
	}
	return string(raw)
}
