package settings

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// maxMegabytes keeps sizes below 2^63 bytes.
const maxMegabytes = 1 << 42

// parse sets the field to what text says; empty leaves the default. An error calls the setting name.
func (s setting) parse(name, text string) error {
	if text == "" {
		if s.required {
			return fmt.Errorf("%s is required and not set (%s)", name, s.help)
		}
		return nil
	}
	// A struct of this one field, so that a fault is surely about it.
	tag := reflect.StructTag(fmt.Sprintf(`env:%q envKeyValSeparator:"="`, s.name))
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Value", Type: s.value.Type(), Tag: tag}}))
	field := one.Elem().Field(0)
	field.Set(s.value)
	if err := env.ParseWithOptions(one.Interface(), env.Options{Environment: map[string]string{s.name: text}}); err != nil {
		return s.fault(name, text, err)
	}
	if s.megabytes {
		if err := convert(field); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	s.value.Set(field)
	return nil
}

// fault says what the setting takes instead of text.
func (s setting) fault(name, text string, err error) error {
	want := ""
	switch {
	case s.value.Type() == reflect.TypeFor[time.Duration]():
		want = "a duration such as 90s or 15m"
	case s.value.Kind() == reflect.Bool:
		want = "true or false"
	case s.value.CanInt():
		want = "a whole number"
	}
	if want != "" {
		return fmt.Errorf("%s must be %s (got %q)", name, want, text)
	}
	var p env.ParseError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// toBytes converts a number of megabytes, or a map of them.
func convert(field reflect.Value) error {
	if field.Kind() != reflect.Map {
		n, err := toBytes(field.Int())
		field.SetInt(n)
		return err
	}
	for entries := field.MapRange(); entries.Next(); {
		n, err := toBytes(entries.Value().Int())
		if err != nil {
			return err
		}
		field.SetMapIndex(entries.Key(), reflect.ValueOf(n))
	}
	return nil
}

func toBytes(megabytes int64) (int64, error) {
	if megabytes > maxMegabytes || megabytes < -maxMegabytes {
		return 0, fmt.Errorf("must be at most %d MB (got %d)", maxMegabytes, megabytes)
	}
	return megabytes << 20, nil
}

// text is the field's value as a person would write it; empty for a value that is not set.
func (s setting) text() string {
	v := s.value
	switch d, isDuration := v.Interface().(time.Duration); {
	case v.IsZero():
		return ""
	case isDuration:
		return shortDuration(d)
	case s.megabytes && v.CanInt():
		return fmt.Sprint(v.Int() >> 20)
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err == nil {
			return string(text)
		}
	}
	if v.Kind() == reflect.Slice {
		var parts []string
		for i := range v.Len() {
			parts = append(parts, fmt.Sprint(v.Index(i)))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}

// shortDuration is 2h where time.Duration prints 2h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
