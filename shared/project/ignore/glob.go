package ignore

import "slices"

// glob is a compiled pattern. It works on bytes, as git does.
type glob struct {
	tokens []token
	fold   bool
	// never is set for patterns that cannot match, such as "[a" without an end.
	never bool
}

type op int

const (
	opByte    op = iota // one byte
	opAny               // one byte of the set
	opStar              // any bytes but slashes
	opStars             // any bytes
	opFolders           // nothing, or any bytes and a slash after them
)

type token struct {
	op  op
	lit byte
	set *[256]bool
}

// compile reads a pattern. With paths set, only ** matches slashes; the texts of other patterns have
// none.
func compile(text string, paths, fold bool) glob {
	c := compiler{text: text, paths: paths, fold: fold}
	g := glob{fold: fold}
	for c.at < len(text) {
		t, ok := c.next()
		if !ok {
			return glob{fold: fold, never: true}
		}
		g.tokens = append(g.tokens, t)
	}
	return g
}

type compiler struct {
	text        string
	at          int
	paths, fold bool
}

// next compiles one token. It returns false if nothing can match the pattern.
func (c *compiler) next() (token, bool) {
	b := c.text[c.at]
	switch b {
	case '*':
		return c.stars(), true
	case '?':
		c.at++
		return token{op: opAny, set: c.where(func(byte) bool { return true })}, true
	case '[':
		set, ok := c.class()
		return token{op: opAny, set: set}, ok
	case '\\':
		c.at++
		if c.at == len(c.text) {
			return token{}, false
		}
		c.at++
		// Git does not fold the case of a quoted byte.
		return token{op: opByte, lit: c.text[c.at-1]}, true
	}
	c.at++
	return token{op: opByte, lit: c.lower(b)}, true
}

// stars compiles a run of asterisks. Two or more are special between slashes or at an end.
func (c *compiler) stars() token {
	start := c.at
	for c.at < len(c.text) && c.text[c.at] == '*' {
		c.at++
	}
	rest := c.text[c.at:]
	alone := start == 0 || c.text[start-1] == '/'
	if !c.paths || c.at-start < 2 || !alone {
		return token{op: opStar}
	}
	switch {
	case rest == "", len(rest) > 1 && rest[:2] == `\/`:
		return token{op: opStars}
	case rest[0] == '/':
		c.at++
		return token{op: opFolders}
	}
	return token{op: opStar}
}

// where returns the set of bytes that ok accepts. Case is folded before, and a slash is in no set.
func (c *compiler) where(ok func(byte) bool) *[256]bool {
	var set [256]bool
	for i := range set {
		b := c.lower(byte(i))
		set[i] = ok(b) && !(c.paths && b == '/')
	}
	return &set
}

// member is a range of bytes in a class, or a named class such as [:digit:].
type member struct {
	from, to byte
	named    func(byte) bool
}

func (c *compiler) class() (*[256]bool, bool) {
	c.at++ // [
	negated := c.at < len(c.text) && (c.text[c.at] == '!' || c.text[c.at] == '^')
	if negated {
		c.at++
	}
	var members []member
	// A bracket directly at the start is a member.
	for first := true; first || c.at < len(c.text) && c.text[c.at] != ']'; first = false {
		m, ok := c.member()
		if !ok {
			return nil, false
		}
		members = append(members, m)
	}
	if c.at == len(c.text) {
		return nil, false
	}
	c.at++ // ]
	return c.where(func(b byte) bool {
		return slices.ContainsFunc(members, func(m member) bool { return m.has(b, c.fold) }) != negated
	}), true
}

// member reads a byte, a range or a named class.
func (c *compiler) member() (member, bool) {
	if m, named, ok := c.named(); named {
		return m, ok
	}
	from, ok := c.literal()
	if !ok {
		return member{}, false
	}
	m := member{from: from, to: from}
	if from == 0 || c.at+1 >= len(c.text) || c.text[c.at] != '-' || c.text[c.at+1] == ']' {
		return m, true
	}
	c.at++
	m.to, ok = c.literal()
	return m, ok
}

// literal reads a byte of a class, which a backslash may quote.
func (c *compiler) literal() (byte, bool) {
	if c.at < len(c.text) && c.text[c.at] == '\\' {
		c.at++
	}
	if c.at >= len(c.text) {
		return 0, false
	}
	c.at++
	return c.text[c.at-1], true
}

func (m member) has(b byte, fold bool) bool {
	if m.named != nil {
		return m.named(b)
	}
	// The start of a range counts on its own, also if the end is before it.
	if b == m.from || m.from <= b && b <= m.to {
		return true
	}
	// Git folds ranges and not single members.
	upper := b - 'a' + 'A'
	return fold && 'a' <= b && b <= 'z' && m.from != m.to && m.from <= upper && upper <= m.to
}

func (c *compiler) lower(b byte) byte {
	if c.fold && 'A' <= b && b <= 'Z' {
		return b - 'A' + 'a'
	}
	return b
}

func equalFold(a, b string) bool {
	c := compiler{fold: true}
	for i := range len(a) {
		if c.lower(a[i]) != c.lower(b[i]) {
			return false
		}
	}
	return true
}

// match reports whether the glob matches the whole text. The work is bounded by the product of both
// lengths: reached marks the positions of the text that the tokens so far can end at.
func (g *glob) match(text string) bool {
	if g.never {
		return false
	}
	if len(g.tokens) == 0 {
		return text == ""
	}
	reached, next := make([]bool, len(text)+1), make([]bool, len(text)+1)
	reached[0] = true
	for _, t := range g.tokens {
		clear(next)
		g.step(t, text, reached, next)
		reached, next = next, reached
	}
	return reached[len(text)]
}

func (g *glob) step(t token, text string, from, to []bool) {
	open := false // a star that began earlier is still running
	for i, ok := range from {
		switch t.op {
		case opByte, opAny:
			if ok && i < len(text) && g.takes(t, text[i]) {
				to[i+1] = true
			}
			continue
		case opStar:
			open = ok || open && text[i-1] != '/'
			to[i] = open
		case opStars:
			open = open || ok
			to[i] = open
		case opFolders:
			to[i] = ok || open && text[i-1] == '/'
			open = open || ok
		}
	}
}

func (g *glob) takes(t token, b byte) bool {
	if t.op == opAny {
		return t.set[b]
	}
	c := compiler{fold: g.fold}
	return c.lower(b) == t.lit
}
