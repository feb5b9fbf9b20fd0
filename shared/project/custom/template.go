package custom

import (
	"fmt"
	"regexp"
	"strings"
)

// reference finds "${{ expression }}", and the paths "${ inputs.a }", "${ steps.a.b }" and "${ eas.a }". Other text that begins with "${" is
// the shell's.
var reference = regexp.MustCompile(`\$\{\{(.+?)\}\}|\$\{\s*((?:inputs|steps|eas)\.[^\s}]+)\s*\}`)

// part of a template is text, or an expression.
type part struct {
	text string
	expr *expr
	// path is the text of a path of eas, whose value must be there.
	path string
}

// parseTemplate cuts a text into parts.
func parseTemplate(text string) (parts []part, err error) {
	at := 0
	for _, m := range reference.FindAllStringSubmatchIndex(text, -1) {
		if m[0] > at {
			parts = append(parts, part{text: text[at:m[0]]})
		}
		at = m[1]
		var e expr
		path := ""
		if m[2] >= 0 {
			e, err = parseExpression(text[m[2]:m[3]])
		} else if e = pathOf(text[m[4]:m[5]]); strings.HasPrefix(text[m[4]:], "eas.") {
			path = text[m[4]:m[5]]
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{expr: &e, path: path})
	}
	if at < len(text) {
		parts = append(parts, part{text: text[at:]})
	}
	return parts, nil
}

// pathOf returns the expression of a path. Those of steps have no "outputs" between a step and its output.
func pathOf(path string) expr {
	words := strings.Split(path, ".")
	if words[0] == "steps" && len(words) == 3 {
		words = []string{words[0], words[1], "outputs", words[2]}
	}
	e := expr{kind: root, text: words[0]}
	for _, w := range words[1:] {
		e = expr{kind: member, operands: []expr{e, {kind: literal, value: w}}}
	}
	return e
}

// fill evaluates a template. One that is a single expression keeps the type of its value.
func (s scope) fill(text string) (any, error) {
	parts, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	if len(parts) == 1 && parts[0].expr != nil {
		return s.part(parts[0])
	}
	var b strings.Builder
	for _, p := range parts {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := s.part(p)
		if err != nil {
			return nil, err
		}
		value := Text(v)
		if err := s.spend(len(value)); err != nil {
			return nil, err
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

func (s scope) part(p part) (any, error) {
	v, err := s.evaluate(*p.expr)
	if text, ok := v.(string); ok && err == nil {
		err = s.spend(len(text))
	}
	if err == nil && v == nil && p.path != "" {
		err = fmt.Errorf("%s has no value", p.path)
	}
	return v, err
}

// fillAll evaluates the templates in a value of any type.
func (s scope) fillAll(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return s.fill(v)
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			var err error
			if list[i], err = s.fillAll(item); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, item := range v {
			filled, err := s.fillAll(item)
			if err != nil {
				return nil, err
			}
			object[key] = filled
		}
		return object, nil
	default:
		return v, nil
	}
}

// conditionOf returns what stands within "${{ }}" or "${ }" of a condition.
func conditionOf(text string) string {
	text = strings.TrimSpace(text)
	for _, frame := range [][2]string{{"${{", "}}"}, {"${", "}"}} {
		if inner, ok := strings.CutPrefix(text, frame[0]); ok {
			if inner, ok = strings.CutSuffix(inner, frame[1]); ok {
				return inner
			}
		}
	}
	return text
}
