package custom

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Input is a value that a step is given.
type Input struct {
	Name string
	// Type is string, number, boolean or json.
	Type string
	// Value is what the file says: text may have expressions. Set is false if there is none.
	Value any
	Set   bool

	required bool
	allowed  []any
}

// Output is a value that a step sets with set-output.
type Output struct {
	Name     string
	Required bool
}

const (
	typeString  = "string"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeJSON    = "json"
)

// definedInputs reads the inputs of a function.
func (n node) definedInputs() (all []Input, err error) {
	items, err := n.items("inputs")
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		in := Input{Type: typeString, required: true}
		if item.Kind == yaml.MappingNode {
			in, err = item.definedInput()
		} else {
			in.Name, err = item.text("the name of an input")
		}
		if err != nil {
			return nil, err
		}
		all = append(all, in)
	}
	return all, nil
}

func (n node) definedInput() (in Input, err error) {
	in = Input{Type: typeString, required: true}
	all, err := n.entries("an input", "name", "default_value", "allowed_values", "type", "required")
	for _, e := range all {
		if err != nil {
			return in, err
		}
		switch e.key {
		case "name":
			in.Name, err = e.value.text("the name of an input")
		case "default_value":
			in.Value, err = e.value.value("default_value")
			in.Set = err == nil
		case "allowed_values":
			in.allowed, err = e.value.allowed()
		case "type":
			in.Type, err = e.value.inputType()
		case "required":
			in.required, err = e.value.boolean("required")
		}
	}
	if err == nil && in.Name == "" {
		err = n.problem("an input has no name")
	}
	return in, err
}

func (n node) allowed() ([]any, error) {
	v, err := n.value("allowed_values")
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, n.problem("allowed_values must be a list")
	}
	return list, nil
}

func (n node) inputType() (string, error) {
	switch t := n.Value; t {
	case typeString, typeNumber, typeBoolean, typeJSON:
		return t, nil
	case "num": // as the docs of Expo have it
		return typeNumber, nil
	}
	return "", n.problem("the type of an input must be string, number, boolean or json")
}

// typeOf returns the type that a value of a file has.
func typeOf(v any) string {
	switch v.(type) {
	case string:
		return typeString
	case float64:
		return typeNumber
	case bool:
		return typeBoolean
	default:
		return typeJSON
	}
}

// check refuses a value that no evaluation can make right.
func (in Input) check(step Step) error {
	if !in.Set {
		if in.required {
			return step.problem("the input %q is required", in.Name)
		}
		return nil
	}
	if s, ok := in.Value.(string); ok && strings.Contains(s, "${") {
		return nil // known when the step runs
	}
	if t := typeOf(in.Value); t != in.Type {
		return step.problem("the input %q must be of type %s (got %s)", in.Name, in.Type, t)
	}
	return in.checkAllowed(step, in.Value)
}

func (in Input) checkAllowed(step Step, v any) error {
	if in.allowed == nil {
		return nil
	}
	words := make([]string, len(in.allowed))
	for i, a := range in.allowed {
		if reflect.DeepEqual(a, v) {
			return nil
		}
		words[i] = Text(a)
	}
	return step.problem("the input %q is %q; allowed are: %s", in.Name, Text(v), strings.Join(words, ", "))
}

// convert turns an evaluated value into the input's type.
func (in Input) convert(step Step, v any) (any, error) {
	s, isText := v.(string)
	if !isText {
		if t := typeOf(v); t != in.Type && v != nil {
			return nil, step.problem("the input %q must be of type %s (got %s)", in.Name, in.Type, t)
		}
		return v, nil
	}
	switch in.Type {
	case typeNumber:
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return f, nil
		}
	case typeBoolean:
		if s == "true" || s == "false" {
			return s == "true", nil
		}
	case typeJSON:
		var j any
		if json.Unmarshal([]byte(s), &j) == nil {
			return j, nil
		}
	default:
		// EAS reads escapes such as \n in text, if it has no line breaks.
		var unescaped string
		if json.Unmarshal([]byte(`"`+s+`"`), &unescaped) == nil {
			return unescaped, nil
		}
		return s, nil
	}
	return nil, step.problem("the input %q must be of type %s (got %.80q)", in.Name, in.Type, s)
}

// Text returns a value as it is put into a command.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(data)
	}
}
