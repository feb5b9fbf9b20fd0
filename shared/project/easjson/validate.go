package easjson

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// Codes of problems whose text a schema may replace.
const (
	codeMin       = "string.min"
	codeMax       = "string.max"
	codePattern   = "string.pattern.base"
	codeRename    = "object.rename.override"
	codeForbidden = "any.unknown"
	codeOnly      = "any.only"
	codeBase      = "base"
)

// segment is a step of a path: a key, or the index of an element.
type segment struct {
	key     string
	index   int
	element bool
}

// report is a problem that a check found.
type report struct {
	path    []segment
	code    string
	message string
	// types are what an alternative would have taken: the type or the values.
	types []string
}

// result is the converted value, or the problems. A value that is absent counts as no key.
type result struct {
	value   jsonfile.Value
	absent  bool
	reports []report
}

// label writes a path as messages show it.
func label(path []segment) string {
	var b strings.Builder
	for _, s := range path {
		switch {
		case s.element:
			fmt.Fprintf(&b, "[%d]", s.index)
		case b.Len() > 0:
			b.WriteString("." + s.key)
		default:
			b.WriteString(s.key)
		}
	}
	if b.Len() == 0 {
		return "value"
	}
	return b.String()
}

// report returns a problem of a value, with the schema's own text if it has one.
func (s *schema) report(path []segment, code, format string, args ...any) report {
	message, ok := s.messages[code]
	if !ok {
		message = `"` + label(path) + `" ` + fmt.Sprintf(format, args...)
	}
	return report{path: slices.Clone(path), code: code, message: message}
}

// check validates and converts a value at a path. Siblings are the object's values so far.
func (s *schema) check(path []segment, v jsonfile.Value, siblings *jsonfile.Value) result {
	if s.nullable && v.Kind == jsonfile.Null {
		return result{absent: true}
	}
	if s.only != nil && !s.only.holds(siblings) {
		return result{value: v, reports: []report{s.report(path, codeForbidden, "is not allowed")}}
	}
	switch s.kind {
	case boolean:
		return s.checkBoolean(path, v)
	case number01:
		return s.checkNumber(path, v)
	case list:
		return s.checkList(path, v)
	case object:
		return s.checkObject(path, v)
	case alternatives:
		return s.checkAlternatives(path, v)
	case text:
	}
	return s.checkText(path, v)
}

func (c *condition) holds(siblings *jsonfile.Value) bool {
	v, ok := siblings.Get(c.sibling)
	return ok && v.Kind == jsonfile.String && v.Text == c.value
}

func (s *schema) checkBoolean(path []segment, v jsonfile.Value) result {
	if v.Kind == jsonfile.String {
		switch strings.ToLower(v.Text) {
		case "true", "false":
			v = jsonfile.Value{Kind: jsonfile.Bool, Offset: v.Offset, Bool: strings.EqualFold(v.Text, "true")}
		}
	}
	if v.Kind == jsonfile.Bool {
		return result{value: v}
	}
	r := s.report(path, codeBase, "must be a boolean")
	r.types = []string{"boolean"}
	return result{value: v, reports: []report{r}}
}

func (s *schema) checkText(path []segment, v jsonfile.Value) result {
	var reports []report
	if len(s.oneOf) > 0 {
		if v.Kind == jsonfile.String && slices.Contains(s.oneOf, v.Text) {
			return result{value: v}
		}
		r := s.report(path, codeOnly, "must be one of [%s]", strings.Join(s.oneOf, ", "))
		r.types = s.oneOf
		reports = append(reports, r)
	}
	switch {
	case v.Kind != jsonfile.String:
		r := s.report(path, codeBase, "must be a string")
		r.types = []string{"string"}
		reports = append(reports, r)
	case v.Text == "":
		reports = append(reports, s.report(path, "string.empty", "is not allowed to be empty"))
	default:
		reports = append(reports, s.checkRules(path, v.Text)...)
	}
	return result{value: v, reports: reports}
}

func (s *schema) checkRules(path []segment, value string) []report {
	var reports []report
	length := len(utf16.Encode([]rune(value)))
	if s.version && !isVersion(value) {
		reports = append(reports, s.report(path, "any.custom", "failed custom validation because %s is not a valid version", value))
	}
	if s.min > 0 && length < s.min {
		reports = append(reports, s.report(path, codeMin, "length must be at least %d characters long", s.min))
	}
	if s.max > 0 && length > s.max {
		reports = append(reports, s.report(path, codeMax, "length must be less than or equal to %d characters long", s.max))
	}
	if s.pattern != nil && !s.pattern.MatchString(value) {
		reports = append(reports, s.report(path, codePattern, `with value "%s" fails to match the required pattern: /%s/`, value, s.pattern))
	}
	return reports
}

// checkNumber accepts a number from 0 to 1.
func (s *schema) checkNumber(path []segment, v jsonfile.Value) result {
	v = toNumber(v)
	message := ""
	switch {
	case v.Kind != jsonfile.Number || math.IsNaN(v.Number):
		message = "must be a number"
	case v.Text == unsafe || math.Abs(v.Number) > 1<<53-1 && !math.IsInf(v.Number, 0):
		message = "must be a safe number"
	case math.IsInf(v.Number, 0):
		message = "cannot be infinity"
	case v.Number < 0:
		message = "must be greater than or equal to 0"
	case v.Number > 1:
		message = "must be less than or equal to 1"
	default:
		return result{value: v}
	}
	return result{value: v, reports: []report{s.report(path, "number", "%s", message)}}
}

// unsafe is the text of a number that was converted and has more digits than JavaScript keeps.
const unsafe = "unsafe"

// toNumber converts text that is a decimal number.
func toNumber(v jsonfile.Value) jsonfile.Value {
	plain := strings.TrimFunc(v.Text, isSpace)
	if v.Kind != jsonfile.String || strings.ContainsAny(plain, "xXpP_iIn") {
		return v
	}
	n, err := strconv.ParseFloat(plain, 64)
	switch {
	case math.IsInf(n, 0):
		return jsonfile.Value{Kind: jsonfile.Number, Offset: v.Offset, Number: n, Text: unsafe}
	case err != nil:
		return v
	}
	converted := jsonfile.Value{Kind: jsonfile.Number, Offset: v.Offset, Number: n, Text: strconv.FormatFloat(n, 'f', -1, 64)}
	if significant(plain) != significant(converted.Text) {
		converted.Text = unsafe
	}
	return converted
}

// significant returns the digits of a number without leading and trailing zeros.
func significant(number string) string {
	number, _, _ = strings.Cut(strings.ToLower(number), "e")
	number = strings.TrimLeft(number, "+-")
	return strings.Trim(strings.ReplaceAll(number, ".", ""), "0")
}

func (s *schema) checkList(path []segment, v jsonfile.Value) result {
	if v.Kind != jsonfile.Array {
		return result{absent: true, reports: []report{s.report(path, codeBase, "must be an array")}}
	}
	out := result{value: v}
	out.value.Items = slices.Clone(v.Items)
	for i, item := range v.Items {
		r := s.items.check(append(slices.Clone(path), segment{index: i, element: true}), item, nil)
		out.value.Items[i] = r.value
		out.reports = append(out.reports, r.reports...)
	}
	return out
}

// checkAlternatives takes the first alternative that accepts the value.
func (s *schema) checkAlternatives(path []segment, v jsonfile.Value) result {
	var types []string
	for _, a := range s.alternatives {
		r := a.check(path, v, nil)
		if len(r.reports) == 0 || len(s.alternatives) == 1 {
			return r
		}
		if len(r.reports) > 1 || r.reports[0].types == nil {
			return result{absent: true, reports: []report{s.report(path, "alternatives", "does not match any of the allowed types")}}
		}
		for _, t := range r.reports[0].types {
			if !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	return result{absent: true, reports: []report{s.report(path, "alternatives", "must be one of [%s]", strings.Join(types, ", "))}}
}
