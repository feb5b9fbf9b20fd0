package daemon

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// setting is one variable.
type setting struct {
	name, help string
	field      string
	required   bool
	secret     bool
	value      reflect.Value
}

// list returns the settings of a struct and of those in it, in order.
func list(v reflect.Value) (all []setting) {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		tag, ok := field.Tag.Lookup("env")
		switch {
		case ok:
			name, options, _ := strings.Cut(tag, ",")
			all = append(all, setting{
				name: name, help: field.Tag.Get("help"), field: field.Name, value: value,
				required: strings.Contains(options, "required"), secret: field.Tag.Get("secret") == "true",
			})
		case value.Kind() == reflect.Struct:
			all = append(all, list(value)...)
		}
	}
	return all
}

// settingsOf lists those of the struct that to points at.
func settingsOf(to any) []setting { return list(reflect.ValueOf(to).Elem()) }

// read puts variables into the struct that to points at. Every fault is named; no secret is.
func read(vars map[string]string, to any) error {
	all := settingsOf(to)
	var faults []error
	for _, s := range all {
		path := vars[s.name+"_FILE"]
		if !s.secret || path == "" || vars[s.name] != "" {
			continue
		}
		data, err := ReadFile(path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s_FILE: %w", s.name, err))
			delete(vars, s.name)
			continue
		}
		vars[s.name] = strings.TrimSpace(string(data))
	}
	return errors.Join(append(faults, parse(vars, to, all)...)...)
}

// parse names the variable where package env names the field.
func parse(vars map[string]string, to any, all []setting) []error {
	err := env.ParseWithOptions(to, env.Options{Environment: vars})
	var each env.AggregateError
	if !errors.As(err, &each) {
		return []error{err}
	}
	for i, err := range each.Errors {
		var p env.ParseError
		if !errors.As(err, &p) {
			continue
		}
		for _, s := range all {
			if s.field == p.Name {
				each.Errors[i] = fmt.Errorf("%s: %w", s.name, p.Err)
			}
		}
	}
	return each.Errors
}

// maxFile is ample for any secret; more is the wrong file.
const maxFile = 4096

// ReadFile reads a small file, such as one that holds a secret. The path may show in the error, the content does not.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	return data, nil
}

// minKey is the length from which hexadecimal or base64 text is taken for a key in that form.
const minKey = 32

// ReadKey reads a file with the bytes of a key, or with their hexadecimal or base64 form.
func ReadKey(path string) ([]byte, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(data))
	if key, err := hex.DecodeString(text); err == nil && len(key) >= minKey {
		return key, nil
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) >= minKey {
		return key, nil
	}
	return data, nil
}
