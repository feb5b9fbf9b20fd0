package ignore

import (
	"bytes"
	"path"
	"strings"
)

// Verdict is what patterns say of a path.
type Verdict int

// The verdicts. Undecided means that no pattern matches.
const (
	Undecided Verdict = iota
	Ignored
	Included
)

// List is the patterns of one ignore file in git's dialect.
type List struct {
	base     string
	patterns []pattern
}

// pattern is one line of the file.
type pattern struct {
	negative bool
	dirOnly  bool
	// anchored patterns match the path below the list's directory, others the last element.
	anchored bool
	// literal is what precedes the first special character; glob matches the rest.
	literal string
	glob    glob
}

// ParseList parses an ignore file. base is its directory as a slash path relative to the top, "" for
// the top itself. fold makes the patterns match without regard to case, as git does on file systems
// that do not tell cases apart.
func ParseList(base string, data []byte, fold bool) List {
	l := List{base: base}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for line := range strings.SplitSeq(string(data), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		line = trimSpaces(strings.TrimSuffix(line, "\r"))
		if p, ok := parsePattern(line, fold); ok {
			l.patterns = append(l.patterns, p)
		}
	}
	return l
}

// trimSpaces cuts spaces at the end, up to one that a backslash quotes.
func trimSpaces(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ' ':
			continue
		case '\\':
			i++
		}
		end = i + 1
	}
	return line[:min(end, len(line))]
}

func parsePattern(line string, fold bool) (pattern, bool) {
	var p pattern
	line, p.negative = strings.CutPrefix(line, "!")
	line, p.dirOnly = strings.CutSuffix(line, "/")
	if line == "" {
		return p, false
	}
	p.anchored = strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	// Git compares the literal part first and matches the rest on its own. So "a**/b" means
	// "a" and then "**/b", which its manual does not tell.
	n := strings.IndexAny(line, `*?[\`)
	if n < 0 {
		n = len(line)
	}
	p.literal = line[:n]
	p.glob = compile(line[n:], p.anchored, fold)
	return p, true
}

// Match returns the verdict of the last pattern that matches. name is relative to the top, with
// slashes. Git never looks below an ignored directory, and neither must the caller.
func (l List) Match(name string, isDir bool) Verdict {
	if l.base != "" {
		below, ok := strings.CutPrefix(name, l.base+"/")
		if !ok {
			return Undecided
		}
		name = below
	}
	base := path.Base(name)
	for i := len(l.patterns) - 1; i >= 0; i-- {
		p := &l.patterns[i]
		if p.dirOnly && !isDir {
			continue
		}
		text := base
		if p.anchored {
			text = name
		}
		if p.matches(text) {
			if p.negative {
				return Included
			}
			return Ignored
		}
	}
	return Undecided
}

func (p *pattern) matches(text string) bool {
	if len(text) < len(p.literal) {
		return false
	}
	head, rest := text[:len(p.literal)], text[len(p.literal):]
	if head != p.literal && !(p.glob.fold && equalFold(head, p.literal)) {
		return false
	}
	return p.glob.match(rest)
}

// Git decides about paths by the lists from the top down to their directory.
type Git struct{ lists []List }

// With returns a matcher that also has the list of a directory further down.
func (g Git) With(l List) Git {
	if len(l.patterns) == 0 {
		return g
	}
	return Git{append(g.lists[:len(g.lists):len(g.lists)], l)}
}

// Ignores reports whether the path is ignored. The nearest list that has a verdict decides.
func (g Git) Ignores(name string, isDir bool) bool {
	for i := len(g.lists) - 1; i >= 0; i-- {
		if v := g.lists[i].Match(name, isDir); v != Undecided {
			return v == Ignored
		}
	}
	return false
}
