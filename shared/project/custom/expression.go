package custom

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// expr is a node of an expression: a literal, a path, a call, or an operator with its operands.
type expr struct {
	kind kind
	// text is an operator, or the name of a path's root or of a function.
	text string
	// value of a literal.
	value any
	// operands are those of an operator, the arguments of a call, or the members of a path.
	operands []expr
}

type kind int

const (
	literal kind = iota
	root
	member
	call
	unary
	binary
	ternary
)

// Bounds of an expression.
const (
	maxExpression = 4 << 10
	maxNesting    = 50
)

// precedence of the binary operators that are supported.
var precedence = map[string]int{ //nolint:gochecknoglobals // a table
	"||": 1, "&&": 2, "==": 3, "!=": 3, "===": 3, "!==": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5,
}

// unsupported are JavaScript's other operators.
var unsupported = []string{"**", "<<", ">>", "++", "--", "&", "|", "^", "~", "*", "/", "%", "=", "[", "{", "`"} //nolint:gochecknoglobals // a table

type parser struct {
	text  string
	at    int
	depth int
}

// parseExpression parses an expression.
func parseExpression(text string) (expr, error) {
	if len(text) > maxExpression {
		return expr{}, fmt.Errorf("the expression has more than %d bytes", maxExpression)
	}
	p := &parser{text: text}
	e, err := p.ternary()
	if err != nil {
		return expr{}, err
	}
	if p.space(); p.at < len(p.text) {
		return expr{}, p.unexpected()
	}
	return e, nil
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.ContainsRune(" \t\r\n", rune(p.text[p.at])) {
		p.at++
	}
}

// take consumes a token, if it is next.
func (p *parser) take(token string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], token) {
		return false
	}
	p.at += len(token)
	return true
}

func (p *parser) unexpected() error {
	p.space()
	rest := p.text[p.at:]
	if rest == "" {
		return fmt.Errorf("the expression %q ends too early", p.text)
	}
	for _, op := range unsupported {
		if strings.HasPrefix(rest, op) {
			return fmt.Errorf("the operator %s is not supported (in %q)", op, p.text)
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return fmt.Errorf("unexpected %q in the expression %q", r, p.text)
}

func (p *parser) ternary() (expr, error) {
	if p.depth++; p.depth > maxNesting {
		return expr{}, fmt.Errorf("the expression %.80q is nested too deeply", p.text)
	}
	defer func() { p.depth-- }()
	condition, err := p.binary(1)
	if err != nil || !p.take("?") {
		return condition, err
	}
	yes, err := p.ternary()
	if err != nil {
		return expr{}, err
	}
	if !p.take(":") {
		return expr{}, p.unexpected()
	}
	no, err := p.ternary()
	return expr{kind: ternary, operands: []expr{condition, yes, no}}, err
}

// binary parses operators of this precedence and above.
func (p *parser) binary(least int) (expr, error) {
	left, err := p.unary()
	for err == nil {
		op := p.operator()
		level := precedence[op]
		if op == "" || level < least {
			break
		}
		p.at += len(op)
		var right expr
		if right, err = p.binary(level + 1); err == nil {
			left = expr{kind: binary, text: op, operands: []expr{left, right}}
		}
	}
	return left, err
}

// operator returns the binary operator that is next, the longest one.
func (p *parser) operator() (op string) {
	p.space()
	for size := min(3, len(p.text)-p.at); size > 0; size-- {
		if candidate := p.text[p.at : p.at+size]; precedence[candidate] > 0 {
			return candidate
		}
	}
	return ""
}

func (p *parser) unary() (expr, error) {
	if p.depth++; p.depth > maxNesting {
		return expr{}, fmt.Errorf("the expression %.80q is nested too deeply", p.text)
	}
	defer func() { p.depth-- }()
	for _, op := range []string{"!", "-", "+"} {
		if p.take(op) {
			operand, err := p.unary()
			return expr{kind: unary, text: op, operands: []expr{operand}}, err
		}
	}
	e, err := p.primary()
	for err == nil {
		switch {
		case p.take("."):
			name := p.word()
			if name == "" {
				return expr{}, p.unexpected()
			}
			e = expr{kind: member, operands: []expr{e, {kind: literal, value: name}}}
		case p.take("["):
			var key expr
			if key, err = p.ternary(); err == nil && !p.take("]") {
				err = p.unexpected()
			}
			e = expr{kind: member, operands: []expr{e, key}}
		default:
			return e, nil
		}
	}
	return e, err
}

// word consumes a name.
func (p *parser) word() string {
	p.space()
	begin := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		letter := c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (p.at == begin || c < '0' || c > '9') {
			break
		}
		p.at++
	}
	return p.text[begin:p.at]
}

func (p *parser) primary() (expr, error) {
	if p.take("(") {
		e, err := p.ternary()
		if err == nil && !p.take(")") {
			err = p.unexpected()
		}
		return e, err
	}
	p.space()
	if p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"' || c == '\'':
			return p.quoted(c)
		case c >= '0' && c <= '9':
			return p.number()
		}
	}
	name := p.word()
	switch name {
	case "":
		return expr{}, p.unexpected()
	case "true", "false":
		return expr{kind: literal, value: name == "true"}, nil
	case "null", "undefined":
		return expr{kind: literal}, nil
	}
	if p.take("(") {
		return p.arguments(name)
	}
	return expr{kind: root, text: name}, nil
}

func (p *parser) arguments(name string) (expr, error) {
	e := expr{kind: call, text: name}
	if p.take(")") {
		return e, nil
	}
	for {
		argument, err := p.ternary()
		if err != nil {
			return expr{}, err
		}
		e.operands = append(e.operands, argument)
		if p.take(")") {
			return e, nil
		}
		if !p.take(",") {
			return expr{}, p.unexpected()
		}
	}
}

func (p *parser) number() (expr, error) {
	begin := p.at
	for p.at < len(p.text) && (p.text[p.at] == '.' || p.text[p.at] >= '0' && p.text[p.at] <= '9') {
		p.at++
	}
	f, err := strconv.ParseFloat(p.text[begin:p.at], 64)
	if err != nil {
		return expr{}, fmt.Errorf("%q is not a number", p.text[begin:p.at])
	}
	return expr{kind: literal, value: f}, nil
}

func (p *parser) quoted(quote byte) (expr, error) {
	var b strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == quote:
			p.at = i + 1
			return expr{kind: literal, value: b.String()}, nil
		case c == '\\' && i+1 < len(p.text):
			i++
			if at := strings.IndexByte("nrtbfv", p.text[i]); at >= 0 {
				b.WriteByte("\n\r\t\b\f\v"[at])
			} else {
				b.WriteByte(p.text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return expr{}, fmt.Errorf("the expression %q has a quote without an end", p.text)
}
