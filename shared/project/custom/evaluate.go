package custom

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// scope has the values that an expression refers to.
type scope struct {
	// values by root: inputs, steps, eas, env.
	values map[string]any
	failed bool
	// left is how many bytes of text the evaluation of a step may still make.
	left *int
}

// maxText bounds the text that the expressions of a step make, in bytes.
const maxText = 8 << 20

// spend notes that n bytes are about to be made.
func (s scope) spend(n int) error {
	if *s.left -= n; *s.left < 0 {
		return fmt.Errorf("the expressions make more than %d MiB of text", maxText>>20)
	}
	return nil
}

func (s scope) evaluate(e expr) (any, error) {
	switch e.kind {
	case literal:
		return e.value, nil
	case root:
		return s.values[e.text], nil
	case member:
		return s.member(e)
	case call:
		return s.call(e)
	case unary:
		return s.unary(e)
	case binary:
		return s.binary(e)
	case ternary:
		condition, err := s.evaluate(e.operands[0])
		if err != nil {
			return nil, err
		}
		if truthy(condition) {
			return s.evaluate(e.operands[1])
		}
		return s.evaluate(e.operands[2])
	default:
		return nil, fmt.Errorf("expression of kind %d", e.kind)
	}
}

func (s scope) member(e expr) (any, error) {
	of, err := s.evaluate(e.operands[0])
	if err != nil {
		return nil, err
	}
	key, err := s.evaluate(e.operands[1])
	if err != nil {
		return nil, err
	}
	switch of := of.(type) {
	case map[string]any:
		return of[Text(key)], nil
	case map[string]string:
		if v, ok := of[Text(key)]; ok {
			return v, nil
		}
	case []any:
		if i, ok := key.(float64); ok && i >= 0 && int(i) < len(of) {
			return of[int(i)], nil
		}
	}
	return nil, nil //nolint:nilnil // JavaScript's undefined
}

// functions are those that expressions may call, with the number of their arguments.
var functions = map[string]int{ //nolint:gochecknoglobals // a table
	"always": 0, "never": 0, "success": 0, "failure": 0, "fromJSON": 1, "toJSON": 1,
	"contains": 2, "startsWith": 2, "endsWith": 2, "replaceAll": 3, "substring": 3,
}

func (s scope) call(e expr) (any, error) {
	args := make([]any, len(e.operands))
	for i, operand := range e.operands {
		var err error
		if args[i], err = s.evaluate(operand); err != nil {
			return nil, err
		}
	}
	switch e.text {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "success":
		return !s.failed, nil
	case "failure":
		return s.failed, nil
	case "toJSON":
		data, err := json.Marshal(args[0])
		if err == nil {
			err = s.spend(len(data))
		}
		return string(data), err
	}
	return s.callText(e.text, args)
}

// callText calls a function of texts.
func (s scope) callText(name string, args []any) (any, error) {
	text := func(i int) string { return Text(args[i]) }
	switch name {
	case "contains":
		return strings.Contains(text(0), text(1)), nil
	case "startsWith":
		return strings.HasPrefix(text(0), text(1)), nil
	case "endsWith":
		return strings.HasSuffix(text(0), text(1)), nil
	case "substring":
		return substring(text(0), args[1:]), nil
	case "replaceAll":
		count := min(strings.Count(text(0), text(1)), maxText)
		if err := s.spend(len(text(0)) + count*min(len(text(2)), maxText)); err != nil {
			return nil, err
		}
		return strings.ReplaceAll(text(0), text(1), text(2)), nil
	case "fromJSON":
		var v any
		if err := s.spend(len(text(0))); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text(0)), &v); err != nil {
			return nil, fmt.Errorf("fromJSON(%.80q): not JSON", text(0))
		}
		return v, nil
	}
	return nil, fmt.Errorf("the function %s is not supported", name)
}

// substring is that of JavaScript, by characters.
func substring(s string, bounds []any) string {
	runes := []rune(s)
	at := [2]int{0, len(runes)}
	for i, b := range bounds {
		if f := number(b); b != nil {
			at[i] = int(max(0, min(f, float64(len(runes)))))
		}
	}
	return string(runes[min(at[0], at[1]):max(at[0], at[1])])
}

func (s scope) unary(e expr) (any, error) {
	v, err := s.evaluate(e.operands[0])
	if err != nil {
		return nil, err
	}
	switch e.text {
	case "!":
		return !truthy(v), nil
	case "-":
		return -number(v), nil
	default:
		return number(v), nil
	}
}

func (s scope) binary(e expr) (any, error) {
	left, err := s.evaluate(e.operands[0])
	if err != nil {
		return nil, err
	}
	if e.text == "&&" && !truthy(left) || e.text == "||" && truthy(left) {
		return left, nil
	}
	right, err := s.evaluate(e.operands[1])
	if err != nil {
		return nil, err
	}
	switch e.text {
	case "&&", "||":
		return right, nil
	case "===":
		return same(left, right), nil
	case "!==":
		return !same(left, right), nil
	case "==":
		return equal(left, right), nil
	case "!=":
		return !equal(left, right), nil
	case "-":
		return number(left) - number(right), nil
	case "+":
		if isNumeric(left) && isNumeric(right) {
			return number(left) + number(right), nil
		}
		a, b := Text(left), Text(right)
		if err := s.spend(len(a) + len(b)); err != nil {
			return nil, err
		}
		return a + b, nil
	}
	return compare(e.text, left, right), nil
}

func compare(op string, left, right any) bool {
	a, aText := left.(string)
	b, bText := right.(string)
	order := math.NaN()
	switch x, y := number(left), number(right); {
	case aText && bText:
		order = float64(strings.Compare(a, b))
	case x < y:
		order = -1
	case x > y:
		order = 1
	case x == y:
		order = 0
	}
	switch op {
	case "<":
		return order < 0
	case ">":
		return order > 0
	case "<=":
		return order <= 0
	default:
		return order >= 0
	}
}

// truthy is JavaScript's Boolean(v).
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case float64:
		return v != 0 && !math.IsNaN(v)
	default:
		return true
	}
}

func isNumeric(v any) bool {
	switch v.(type) {
	case float64, bool, nil:
		return true
	default:
		return false
	}
}

// number is JavaScript's Number(v).
func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
		return 0
	case nil:
		return 0
	case string:
		if strings.TrimSpace(v) == "" {
			return 0
		}
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
			return f
		}
	}
	return math.NaN()
}

// same is JavaScript's ===; objects are not the same as any.
func same(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool, string, float64:
		return a == b
	default:
		return false
	}
}

// equal is JavaScript's ==.
func equal(a, b any) bool {
	if a == nil || b == nil || typeOf(a) == typeOf(b) {
		return same(a, b)
	}
	return number(a) == number(b)
}
