package jsonfile

import (
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds nesting: parse recurses.
const maxDepth = 1000

// end is what next returns behind the last character.
const end = rune(-1)

// parser reads JSON5. Methods return nil or the first fault.
type parser struct {
	data  []byte
	at    int
	depth int
}

func (p *parser) document() (Value, *fault) {
	v, err := p.value()
	if err != nil {
		return Value{}, err
	}
	if err := p.space(); err != nil {
		return Value{}, err
	}
	if p.at < len(p.data) {
		return Value{}, p.unexpected("want the end of the file")
	}
	return v, nil
}

// peek returns the next character and its length. It returns end at the end.
func (p *parser) peek() (r rune, size int) {
	if p.at >= len(p.data) {
		return end, 0
	}
	return utf8.DecodeRune(p.data[p.at:])
}

func (p *parser) byte() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

// has skips text if it is next.
func (p *parser) has(text string) bool {
	if len(p.data)-p.at < len(text) || string(p.data[p.at:p.at+len(text)]) != text {
		return false
	}
	p.at += len(text)
	return true
}

func (p *parser) unexpected(want string) *fault {
	r, _ := p.peek()
	if r == end {
		return faultf(p.at, "the file ends here, %s", want)
	}
	return faultf(p.at, "unexpected %q, %s", r, want)
}

// space skips white space and comments.
func (p *parser) space() *fault {
	for {
		r, size := p.peek()
		start := p.at
		switch {
		case isSpace(r):
			p.at += size
		case p.has("//"):
			p.line()
		case p.has("/*"):
			if !p.block() {
				return faultf(start, "this comment does not end")
			}
		default:
			return nil
		}
	}
}

func (p *parser) line() {
	for {
		r, size := p.peek()
		if r == end || isLineEnd(r) {
			return
		}
		p.at += size
	}
}

func (p *parser) block() bool {
	for p.at < len(p.data) {
		if p.has("*/") {
			return true
		}
		p.at++
	}
	return false
}

func isLineEnd(r rune) bool { return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' }

func isSpace(r rune) bool {
	switch r {
	case '\t', '\v', '\f', ' ', '\u00a0', '\ufeff':
		return true
	}
	return isLineEnd(r) || unicode.Is(unicode.Zs, r)
}

func (p *parser) value() (Value, *fault) {
	if err := p.space(); err != nil {
		return Value{}, err
	}
	start := p.at
	switch c := p.byte(); {
	case c == '{':
		return p.nested(p.object)
	case c == '[':
		return p.nested(p.array)
	case c == '"' || c == '\'':
		text, err := p.quoted()
		return Value{Kind: String, Offset: start, Text: text}, err
	case c == '+' || c == '-' || c == '.' || isDigit(c) || c == 'I' || c == 'N':
		return p.number()
	case p.word("null"):
		return Value{Kind: Null, Offset: start}, nil
	case p.word("true"):
		return Value{Kind: Bool, Offset: start, Bool: true}, nil
	case p.word("false"):
		return Value{Kind: Bool, Offset: start}, nil
	}
	return Value{}, p.unexpected("want a value")
}

// word skips a word if it is next and the name ends there.
func (p *parser) word(word string) bool {
	start := p.at
	if !p.has(word) {
		return false
	}
	if r, _ := p.peek(); isNamePart(r) {
		p.at = start
		return false
	}
	return true
}

func (p *parser) nested(read func() (Value, *fault)) (Value, *fault) {
	if p.depth++; p.depth > maxDepth {
		return Value{}, faultf(p.at, "nested more than %d levels deep", maxDepth)
	}
	v, err := read()
	p.depth--
	return v, err
}

func (p *parser) array() (Value, *fault) {
	v := Value{Kind: Array, Offset: p.at}
	p.at++
	for {
		if err := p.space(); err != nil {
			return Value{}, err
		}
		if p.has("]") {
			return v, nil
		}
		item, err := p.value()
		if err != nil {
			return Value{}, err
		}
		v.Items = append(v.Items, item)
		if err := p.separator("]"); err != nil {
			return Value{}, err
		}
	}
}

// separator skips a comma; the closing character may stand there instead.
func (p *parser) separator(closing string) *fault {
	if err := p.space(); err != nil {
		return err
	}
	if p.has(",") || string(p.byte()) == closing {
		return nil
	}
	return p.unexpected(`want "," or "` + closing + `"`)
}

func (p *parser) object() (Value, *fault) {
	v := Value{Kind: Object, Offset: p.at}
	p.at++
	for {
		if err := p.space(); err != nil {
			return Value{}, err
		}
		if p.has("}") {
			return v, nil
		}
		m, err := p.member()
		if err != nil {
			return Value{}, err
		}
		v.Members = append(v.Members, m)
		if err := p.separator("}"); err != nil {
			return Value{}, err
		}
	}
}

func (p *parser) member() (Member, *fault) {
	m := Member{Offset: p.at}
	var err *fault
	if c := p.byte(); c == '"' || c == '\'' {
		m.Key, err = p.quoted()
	} else {
		m.Key, err = p.name()
	}
	if err != nil {
		return Member{}, err
	}
	if err := p.space(); err != nil {
		return Member{}, err
	}
	if !p.has(":") {
		return Member{}, p.unexpected(`want ":"`)
	}
	m.Value, err = p.value()
	return m, err
}
