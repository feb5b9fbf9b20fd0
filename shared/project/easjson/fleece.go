package easjson

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// maxDepth bounds nesting: readValue recurses. No valid eas.json nests more than six levels.
const maxDepth = 500

var (
	// The grammar of golden-fleece. "[E|e][+|-]" is its own; such a number is not a number.
	fleeceNumber = regexp.MustCompile(`^(?:NaN|[-+]?(?:Infinity|0[xX][a-fA-F0-9]+|0[bB][01]+|0[oO][0-7]+|` +
		`(?:(?:[1-9]\d*|0)?\.\d+|(?:[1-9]\d*|0)\.\d*|(?:[1-9]\d*|0))(?:[E|e][+|-]?\d+)?))`)
	fleeceName = regexp.MustCompile(`^[a-zA-Z_$][a-zA-Z0-9_$]*`)
	fleeceHex  = regexp.MustCompile(`^[a-fA-F0-9]+$`)
)

// syntaxError is a failure of the reader. Expo shows the place, except of text behind the value.
type syntaxError struct {
	offset int
	placed bool
}

// fleece reads the dialect of JSON5 that npm golden-fleece reads.
type fleece struct {
	text  string
	at    int
	depth int
}

func readFleece(text string) (jsonfile.Value, *syntaxError) {
	f := &fleece{text: text}
	v, err := f.readValue()
	if err == nil {
		err = f.space()
	}
	if err == nil && f.at < len(text) {
		err = &syntaxError{offset: f.at}
	}
	return v, err
}

func (f *fleece) fail(offset int) *syntaxError { return &syntaxError{offset: offset, placed: true} }

func (f *fleece) peek() byte {
	if f.at < len(f.text) {
		return f.text[f.at]
	}
	return 0
}

func (f *fleece) eat(s string) bool {
	if !strings.HasPrefix(f.text[f.at:], s) {
		return false
	}
	f.at += len(s)
	return true
}

// isSpace reports whether \s of JavaScript matches r.
func isSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', '\u00a0', '\ufeff', '\u2028', '\u2029':
		return true
	}
	return unicode.Is(unicode.Zs, r)
}

// space skips white space, comments and lone slashes.
func (f *fleece) space() *syntaxError {
	for {
		rest := strings.TrimLeftFunc(f.text[f.at:], isSpace)
		f.at = len(f.text) - len(rest)
		if !f.eat("/") {
			return nil
		}
		line := f.eat("/")
		if !line && !f.eat("*") {
			continue
		}
		if f.at >= len(f.text) {
			return f.fail(f.at)
		}
		if line {
			f.until("\r\n")
			continue
		}
		length := strings.Index(f.text[f.at:], "*/")
		if length < 0 {
			return f.fail(len(f.text))
		}
		f.at += length + len("*/")
	}
}

// until moves to the next of the characters, or to the end.
func (f *fleece) until(chars string) {
	if n := strings.IndexAny(f.text[f.at:], chars); n >= 0 {
		f.at += n
	} else {
		f.at = len(f.text)
	}
}

func (f *fleece) readValue() (jsonfile.Value, *syntaxError) {
	if err := f.space(); err != nil {
		return jsonfile.Value{}, err
	}
	if f.depth++; f.depth > maxDepth {
		return jsonfile.Value{}, f.fail(f.at)
	}
	defer func() { f.depth-- }()
	start := f.at
	switch {
	case f.eat("["):
		return f.readArray(start)
	case f.eat("{"):
		return f.readObject(start)
	case f.eat("true"):
		return jsonfile.Value{Kind: jsonfile.Bool, Offset: start, Bool: true}, nil
	case f.eat("false"):
		return jsonfile.Value{Kind: jsonfile.Bool, Offset: start}, nil
	case f.eat("null"):
		return jsonfile.Value{Kind: jsonfile.Null, Offset: start}, nil
	case f.peek() == '"' || f.peek() == '\'':
		text, err := f.readString()
		return jsonfile.Value{Kind: jsonfile.String, Offset: start, Text: text}, err
	}
	if raw := fleeceNumber.FindString(f.text[start:]); raw != "" {
		f.at += len(raw)
		return jsonfile.Value{Kind: jsonfile.Number, Offset: start, Number: number(raw), Text: raw}, nil
	}
	return jsonfile.Value{}, f.fail(f.at)
}

func (f *fleece) readArray(start int) (jsonfile.Value, *syntaxError) {
	v := jsonfile.Value{Kind: jsonfile.Array, Offset: start}
	if err := f.space(); err != nil {
		return v, err
	}
	for f.peek() != ']' {
		item, err := f.readValue()
		if err != nil {
			return v, err
		}
		v.Items = append(v.Items, item)
		more, err := f.comma()
		if err != nil {
			return v, err
		}
		if !more {
			break
		}
	}
	if !f.eat("]") {
		return v, f.fail(f.at)
	}
	return v, nil
}

// comma skips a comma and what surrounds it. It reports whether there was one.
func (f *fleece) comma() (bool, *syntaxError) {
	if err := f.space(); err != nil {
		return false, err
	}
	if !f.eat(",") {
		return false, nil
	}
	return true, f.space()
}

func (f *fleece) readObject(start int) (jsonfile.Value, *syntaxError) {
	v := jsonfile.Value{Kind: jsonfile.Object, Offset: start}
	if err := f.space(); err != nil {
		return v, err
	}
	for f.peek() != '}' {
		m, err := f.readMember()
		if err != nil {
			return v, err
		}
		v.Members = append(v.Members, m)
		more, err := f.comma()
		if err != nil {
			return v, err
		}
		if !more {
			break
		}
	}
	if !f.eat("}") {
		return v, f.fail(f.at)
	}
	return v, nil
}

func (f *fleece) readMember() (m jsonfile.Member, err *syntaxError) {
	m.Offset = f.at
	if c := f.peek(); c == '"' || c == '\'' {
		if m.Key, err = f.readString(); err != nil {
			return m, err
		}
	} else {
		if m.Key = fleeceName.FindString(f.text[f.at:]); m.Key == "" {
			return m, f.fail(f.at)
		}
		f.at += len(m.Key)
	}
	if err := f.space(); err != nil {
		return m, err
	}
	if !f.eat(":") {
		return m, f.fail(f.at)
	}
	m.Value, err = f.readValue()
	return m, err
}

// readString reads a string in single or double quotes. Only a line feed ends it early.
func (f *fleece) readString() (string, *syntaxError) {
	quote := rune(f.peek())
	f.at++
	var units []uint16
	for f.at < len(f.text) {
		r, size := utf8.DecodeRuneInString(f.text[f.at:])
		f.at += size
		switch r {
		case quote:
			return string(utf16.Decode(units)), nil
		case '\n':
			return "", f.fail(f.at - size)
		case '\\':
			var err *syntaxError
			if units, err = f.escape(units); err != nil {
				return "", err
			}
		default:
			units = utf16.AppendRune(units, r)
		}
	}
	return "", f.fail(f.at)
}

func (f *fleece) escape(units []uint16) ([]uint16, *syntaxError) {
	r, size := utf8.DecodeRuneInString(f.text[f.at:])
	f.at += size
	switch {
	case size == 0 || r == '\n':
	case r == '\r':
		f.eat("\n")
	case r == 'x' || r == 'u':
		digits := 4
		if r == 'x' {
			digits = 2
		}
		code := f.text[f.at:min(f.at+digits, len(f.text))]
		if !fleeceHex.MatchString(code) {
			return nil, f.fail(f.at)
		}
		unit, err := strconv.ParseUint(code, 16, 16)
		if err != nil {
			return nil, f.fail(f.at)
		}
		f.at += len(code)
		units = append(units, uint16(unit))
	case strings.ContainsRune("bnfrtv0", r):
		units = append(units, uint16("\b\n\f\r\t\v\x00"[strings.IndexRune("bnfrtv0", r)]))
	default:
		units = utf16.AppendRune(units, r)
	}
	return units, nil
}

// number returns the value of a number in the grammar of golden-fleece.
func number(raw string) float64 {
	digits := strings.TrimLeft(raw, "+-")
	sign := 1.0
	if raw[0] == '-' {
		sign = -1
	}
	if digits == "Infinity" {
		return math.Inf(int(sign))
	}
	if len(digits) > 2 && digits[0] == '0' && strings.ContainsRune("xXbBoO", rune(digits[1])) {
		whole, ok := new(big.Int).SetString(digits, 0)
		if !ok {
			return math.NaN()
		}
		n, _ := new(big.Float).SetInt(whole).Float64()
		return sign * n
	}
	if strings.Contains(digits, "|") {
		return math.NaN()
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil && !math.IsInf(n, 0) {
		return math.NaN()
	}
	return sign * n
}
