package profile

import (
	"slices"
	"strings"
)

// hasPipeline reports whether a script of /bin/sh runs commands in a pipeline. A bar that is no pipe does not count: that of || and >|,
// in quotes, comments, here-documents, arithmetic and parameters, and between the patterns of case. It knows as much of the
// grammar as that needs; of a script that is no valid one it says anything.
func hasPipeline(script string) bool {
	p := scanner{s: script}
	for p.i < len(p.s) && !p.found {
		p.list(0, false)
	}
	return p.found
}

// maxNesting of substitutions, subshells and cases; what is nested deeper is not looked at.
const maxNesting = 100

type scanner struct {
	s     string
	i     int
	found bool
	// depth of nesting, and how many of the open substitutions are in backquotes.
	depth, ticks int
	// documents are the here-documents that begin with the next line.
	documents []document
}

type document struct {
	end  string
	tabs bool // leading tabs do not count
}

// peek returns the byte n after the current one; 0 behind the end.
func (p *scanner) peek(n int) byte {
	if p.i+n < len(p.s) {
		return p.s[p.i+n]
	}
	return 0
}

func (p *scanner) at(text string) bool { return p.i < len(p.s) && strings.HasPrefix(p.s[p.i:], text) }

// leads are the words behind which a command begins.
func leads(word string) bool {
	return slices.Contains([]string{"if", "then", "else", "elif", "do", "while", "until", "!", "{"}, word)
}

// list reads commands up to the byte end, which it takes. A branch of case ends at ;; or at esac; the result says which.
func (p *scanner) list(end byte, branch bool) (esac bool) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxNesting {
		p.i = len(p.s)
	}
	for begins := true; p.i < len(p.s) && !p.found; {
		switch c := p.peek(0); {
		case c == end && end != 0:
			p.i++
			return false
		case c == '`' && p.ticks > 0: // the end of what is around this
			return false
		case branch && c == ';' && (p.peek(1) == ';' || p.peek(1) == '&'):
			p.i += 2
			if p.peek(0) == '&' {
				p.i++
			}
			return false
		case p.blank():
			begins = begins || c == '\n'
		case c == '<' || c == '>':
			p.redirect()
		case strings.IndexByte(";&|()", c) >= 0:
			p.operator(c)
			begins = true
		default:
			word := p.word()
			switch {
			case begins && branch && word == "esac":
				return true
			case begins && word == "case":
				p.caseOf()
			}
			begins = begins && (leads(word) || strings.Contains(word, "="))
		}
	}
	return false
}

// blank takes one space, line, continuation or comment, if there is one.
func (p *scanner) blank() bool {
	switch {
	case p.at(" ") || p.at("\t") || p.at("\r"):
		p.i++
	case p.at("\\\n"):
		p.i += 2
	case p.at("#"):
		p.i += len(p.line())
	case p.at("\n"):
		p.i++
		for _, d := range p.documents {
			p.skip(d)
		}
		p.documents = nil
	default:
		return false
	}
	return true
}

// line returns the rest of the line, without its end.
func (p *scanner) line() string {
	line, _, _ := strings.Cut(p.s[p.i:], "\n")
	return line
}

func (p *scanner) skip(d document) {
	for p.i < len(p.s) {
		line := p.line()
		p.i = min(p.i+len(line)+1, len(p.s))
		if d.tabs {
			line = strings.TrimLeft(line, "\t")
		}
		if line == d.end {
			return
		}
	}
}

func (p *scanner) operator(c byte) {
	p.i++
	switch {
	case c == '(':
		p.list(')', false)
	case c == '|' && p.peek(0) == '|':
		p.i++
	case c == '|':
		p.found = true
	}
}

func (p *scanner) redirect() {
	switch {
	case p.at("<<<"):
		p.i += 3
	case p.at("<<"):
		p.i += 2
		d := document{tabs: p.at("-")}
		if d.tabs {
			p.i++
		}
		for p.at(" ") || p.at("\t") {
			p.i++
		}
		d.end = strings.NewReplacer("'", "", `"`, "", `\`, "").Replace(p.word())
		p.documents = append(p.documents, d)
	case p.at(">|") || p.at(">&") || p.at("<&"):
		p.i += 2
	default:
		p.i++
	}
}

// caseOf reads what follows the word case, up to its esac.
func (p *scanner) caseOf() {
	p.blanks()
	p.word()
	p.blanks()
	p.word() // in
	for p.i < len(p.s) && !p.found {
		p.blanks()
		if p.at("(") {
			p.i++
		} else if before := p.i; p.word() == "esac" {
			return
		} else {
			p.i = before
		}
		p.patterns()
		if p.list(0, true) {
			return
		}
	}
}

func (p *scanner) blanks() {
	for more := true; more; {
		more = p.blank()
	}
}

// patterns reads those of a branch and the parenthesis behind them.
func (p *scanner) patterns() {
	for p.i < len(p.s) && !p.found {
		p.blanks()
		if p.at(")") {
			p.i++
			return
		}
		if p.word() == "" {
			p.i++
		}
	}
}

// word reads one, with its quotes and substitutions, and returns it as it stands there.
func (p *scanner) word() string {
	from := p.i
	for p.i < len(p.s) && !p.found {
		c := p.peek(0)
		if strings.IndexByte(" \t\r\n;&|()<>", c) >= 0 || c == '`' && p.ticks > 0 {
			break
		}
		if c == '\'' {
			p.quoted()
		} else {
			p.piece()
		}
	}
	p.i = min(p.i, len(p.s))
	return p.s[min(from, p.i):p.i]
}

// piece reads a character, or what means something in double quotes as well.
func (p *scanner) piece() {
	switch c := p.peek(0); {
	case c == '\\':
		p.i = min(p.i+2, len(p.s))
	case c == '"':
		p.i++
		p.until('"', false)
	case c == '`':
		p.i++
		p.ticks++
		p.list('`', false)
		p.ticks--
	case p.at("$(("):
		p.arithmetic()
	case p.at("$("):
		p.i += 2
		p.list(')', false)
	case p.at("${"):
		p.i += 2
		p.until('}', true)
	default:
		p.i++
	}
}

// until reads pieces up to the byte end, and takes that. Single quotes count in a parameter.
func (p *scanner) until(end byte, single bool) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxNesting {
		p.i = len(p.s)
	}
	for p.i < len(p.s) && !p.found {
		switch c := p.peek(0); {
		case c == end:
			p.i++
			return
		case c == '`' && p.ticks > 0:
			return
		case c == '\'' && single:
			p.quoted()
		default:
			p.piece()
		}
	}
}

func (p *scanner) quoted() {
	_, rest, _ := strings.Cut(p.s[p.i+1:], "'")
	p.i = len(p.s) - len(rest)
}

// arithmetic skips $((…)).
func (p *scanner) arithmetic() {
	p.i++
	for open := 0; p.i < len(p.s); {
		switch p.peek(0) {
		case '(':
			open++
		case ')':
			open--
		}
		p.i++
		if open == 0 {
			return
		}
	}
}
