package custom

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrInvalid means that a file is not a valid custom build.
var ErrInvalid = errors.New("invalid custom build")

// problem is a sentence for people that matches ErrInvalid.
type problem struct{ text string }

func (p problem) Error() string { return p.text }
func (p problem) Unwrap() error { return ErrInvalid }

// node is a value of a file. Its problems name the place.
type node struct {
	file string
	*yaml.Node
}

// at returns the place of the value, such as ".eas/build/custom.yml:7".
func (n node) at() string { return fmt.Sprintf("%s:%d", n.file, n.Line) }

func (n node) problem(format string, args ...any) error {
	return problem{n.at() + ": " + fmt.Sprintf(format, args...)}
}

// with returns another value of the same file. Aliases are followed.
func (n node) with(y *yaml.Node) node {
	for y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	return node{n.file, y}
}

// entry is a key of a mapping with its value.
type entry struct {
	key   string
	value node
}

// entries returns the keys of a mapping in their order. known are the keys that it may have; none allows all.
func (n node) entries(what string, known ...string) ([]entry, error) {
	if n.Kind != yaml.MappingNode {
		return nil, n.problem("%s must be a mapping", what)
	}
	var all []entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.with(n.Content[i])
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
			return nil, k.problem("keys of %s must be text", what)
		case seen[k.Value]:
			return nil, k.problem("%s has %q twice", what, k.Value)
		case len(known) > 0 && !slices.Contains(known, k.Value):
			return nil, k.problem("%s cannot have %q. It may have: %s", what, k.Value, strings.Join(known, ", "))
		}
		seen[k.Value] = true
		all = append(all, entry{k.Value, n.with(n.Content[i+1])})
	}
	return all, nil
}

func (n node) items(what string) ([]node, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, n.problem("%s must be a list", what)
	}
	all := make([]node, len(n.Content))
	for i, y := range n.Content {
		all[i] = n.with(y)
	}
	return all, nil
}

// text returns a string that is not empty.
func (n node) text(what string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
		return "", n.problem("%s must be text that is not empty", what)
	}
	return n.Value, nil
}

func (n node) boolean(what string) (b bool, err error) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&b) != nil {
		return false, n.problem("%s must be true or false", what)
	}
	return b, nil
}

// value returns any value as JSON has it: numbers are float64, keys of objects are text.
func (n node) value(what string) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		all, err := n.entries(what)
		if err != nil {
			return nil, err
		}
		object := map[string]any{}
		for _, e := range all {
			if object[e.key], err = e.value.value(what); err != nil {
				return nil, err
			}
		}
		return object, nil
	case yaml.SequenceNode:
		all, err := n.items(what)
		if err != nil {
			return nil, err
		}
		list := make([]any, len(all))
		for i, item := range all {
			if list[i], err = item.value(what); err != nil {
				return nil, err
			}
		}
		return list, nil
	case yaml.ScalarNode:
		return n.scalar(what)
	default:
		return nil, n.problem("%s has no value", what)
	}
}

func (n node) scalar(what string) (any, error) {
	switch n.Tag {
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!null":
		return nil, nil //nolint:nilnil // null is a value
	case "!!bool":
		return n.boolean(what)
	case "!!int", "!!float":
		var f float64
		if err := n.Decode(&f); err != nil {
			return nil, n.problem("%s is not a number", what)
		}
		return f, nil
	default:
		return nil, n.problem("%s has a value of type %s, which is not supported", what, n.Tag)
	}
}
