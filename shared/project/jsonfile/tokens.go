package jsonfile

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameStart(r rune) bool {
	return r == '$' || r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r)
}

func isNamePart(r rune) bool {
	return isNameStart(r) || r == '\u200c' || r == '\u200d' || unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc)
}

// name reads an unquoted key: a name of JavaScript, which may have \u escapes.
func (p *parser) name() (string, *fault) {
	var b strings.Builder
	for {
		start := p.at
		r, size := p.peek()
		if r == '\\' {
			p.at++
			if !p.has("u") {
				return "", p.unexpected("want a key")
			}
			unit, err := p.hex(4)
			if err != nil {
				return "", err
			}
			r, size = rune(unit), 0
		}
		switch {
		case b.Len() == 0 && !isNameStart(r):
			p.at = start
			return "", p.unexpected(`want a key or "}"`)
		case !isNamePart(r) && size == 0 && r != end:
			return "", faultf(start, "this escape cannot stand in an unquoted key")
		case !isNamePart(r):
			return b.String(), nil
		}
		p.at += size
		b.WriteRune(r)
	}
}

// hex reads n hexadecimal digits.
func (p *parser) hex(n int) (uint16, *fault) {
	for i := range n {
		if p.at+i >= len(p.data) || !isHex(p.data[p.at+i]) {
			p.at = min(p.at+i, len(p.data))
			return 0, p.unexpected("want " + strconv.Itoa(n) + " hexadecimal digits")
		}
	}
	v, err := strconv.ParseUint(string(p.data[p.at:p.at+n]), 16, 16)
	if err != nil {
		return 0, faultf(p.at, "not a hexadecimal number")
	}
	p.at += n
	return uint16(v), nil
}

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// quoted reads a string in single or double quotes.
func (p *parser) quoted() (string, *fault) {
	start, quote := p.at, rune(p.byte())
	p.at++
	var text units
	for {
		r, size := p.peek()
		switch r {
		case end, '\n', '\r':
			return "", faultf(start, "this string does not end in its line")
		case quote:
			p.at += size
			return text.String(), nil
		case '\\':
			p.at += size
			if err := p.escape(&text); err != nil {
				return "", err
			}
		default:
			p.at += size
			text.rune(r)
		}
	}
}

// escape reads what follows a backslash.
func (p *parser) escape(text *units) *fault {
	r, size := p.peek()
	start := p.at - 1
	p.at += size
	switch r {
	case end:
		return faultf(start, "this string does not end")
	case 'b', 'f', 'n', 'r', 't', 'v':
		text.rune(rune("\b\f\n\r\t\v"[strings.IndexRune("bfnrtv", r)]))
	case 'x', 'u':
		n := 4
		if r == 'x' {
			n = 2
		}
		unit, err := p.hex(n)
		if err != nil {
			return err
		}
		*text = append(*text, unit)
	case '0':
		if isDigit(p.byte()) {
			return faultf(start, "octal escapes are not JSON5")
		}
		text.rune(0)
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return faultf(start, "octal escapes are not JSON5")
	case '\r':
		p.has("\n")
	case '\n', '\u2028', '\u2029':
	default:
		text.rune(r)
	}
	return nil
}

// units are UTF-16 code units, in which an escaped character above U+FFFF is two.
type units []uint16

func (u *units) rune(r rune) { *u = utf16.AppendRune(*u, r) }

// String returns the text. Half of a surrogate pair becomes U+FFFD.
func (u units) String() string { return string(utf16.Decode(u)) }

// number reads a number of JSON5.
func (p *parser) number() (Value, *fault) {
	start := p.at
	sign := 1.0
	if c := p.byte(); c == '+' || c == '-' {
		if c == '-' {
			sign = -1
		}
		p.at++
	}
	n, err := p.magnitude()
	if err != nil {
		return Value{}, err
	}
	if r, _ := utf8.DecodeRune(p.data[p.at:]); p.at < len(p.data) && isNamePart(r) {
		return Value{}, p.unexpected("want the end of the number")
	}
	return Value{Kind: Number, Offset: start, Number: sign * n, Text: string(p.data[start:p.at])}, nil
}

func (p *parser) magnitude() (float64, *fault) {
	start := p.at
	switch {
	case p.has("Infinity"):
		return math.Inf(1), nil
	case p.has("NaN"):
		return math.NaN(), nil
	case p.has("0x") || p.has("0X"):
		return p.hexNumber()
	}
	whole := p.digits()
	if whole > 1 && p.data[start] == '0' {
		return 0, faultf(start, "a number cannot start with 0")
	}
	fraction := 0
	if p.has(".") {
		fraction = p.digits()
	}
	if whole+fraction == 0 {
		return 0, p.unexpected("want a number")
	}
	if p.has("e") || p.has("E") {
		if !p.has("+") {
			p.has("-")
		}
		if p.digits() == 0 {
			return 0, p.unexpected("want the digits of an exponent")
		}
	}
	// What is too large becomes infinite with an error, as in JavaScript without one.
	n, _ := strconv.ParseFloat(string(p.data[start:p.at]), 64)
	return n, nil
}

func (p *parser) digits() int {
	start := p.at
	for isDigit(p.byte()) {
		p.at++
	}
	return p.at - start
}

func (p *parser) hexNumber() (float64, *fault) {
	start := p.at
	n := 0.0
	for isHex(p.byte()) {
		digit, err := strconv.ParseUint(string(p.byte()), 16, 8)
		if err != nil {
			return 0, faultf(p.at, "not a hexadecimal number")
		}
		n = n*16 + float64(digit)
		p.at++
	}
	if p.at == start {
		return 0, p.unexpected("want hexadecimal digits")
	}
	return n, nil
}
