package ignore

import (
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
)

// NPM is an ignore file as the npm package "ignore" 5.3.0 (MIT, Kael Zhang) reads it. It is not safe
// for concurrent use.
type NPM struct {
	rules []npmRule
	// known holds what was found out about directories.
	known map[string]bool
}

type npmRule struct {
	line     string
	negative bool
	regexp   *regexp2.Regexp
}

// The engine backtracks, so a match may take matchTimeout at most and a rule have maxRule bytes.
const (
	matchTimeout = time.Second
	maxRule      = 2048
)

// ParseNPM parses an ignore file. It returns an error that names the line if the package would fail.
func ParseNPM(data []byte) (*NPM, error) {
	n := &NPM{known: map[string]bool{}}
	text := strings.ReplaceAll(strings.ToValidUTF8(string(data), "\ufffd"), "\r\n", "\n")
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if isNoRule(line) {
			continue
		}
		if len(line) > maxRule {
			return nil, fmt.Errorf("line %d has %d bytes; a rule may have %d", number, len(line), maxRule)
		}
		pattern, negative := strings.CutPrefix(line, "!")
		if strings.HasPrefix(pattern, `\!`) || strings.HasPrefix(pattern, `\#`) {
			pattern = pattern[1:]
		}
		re, err := compileNPM(pattern)
		if err != nil {
			return nil, fmt.Errorf("line %d (%q): %w", number, line, err)
		}
		n.rules = append(n.rules, npmRule{line, negative, re})
	}
	return n, nil
}

// isNoRule reports whether the package skips the line: blank, a comment, or a backslash without
// anything to quote at the end. A byte order mark is white space for JavaScript, but it makes a
// comment a rule.
func isNoRule(line string) bool {
	if strings.Trim(line, jsSpace) == "" || line[0] == '#' {
		return true
	}
	return strings.HasSuffix(line, `\`) && !strings.HasSuffix(line, `\\`)
}

// Ignores reports whether the path, relative and with slashes, or a directory above it is ignored.
// The package is never told that a path is a directory, so "dir/" ignores what is in dir only.
func (n *NPM) Ignores(name string) (bool, error) {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		dir := name[:i+1]
		ignored, ok := n.known[dir]
		if !ok {
			var err error
			if ignored, err = n.test(dir); err != nil {
				return false, err
			}
			n.known[dir] = ignored
		}
		if ignored {
			return true, nil
		}
	}
	return n.test(name)
}

// test applies the rules to the path itself; the last one that matches decides.
func (n *NPM) test(name string) (ignored bool, err error) {
	for _, r := range n.rules {
		if r.negative != ignored {
			continue // nothing would change
		}
		match, err := r.regexp.MatchString(name)
		if err != nil {
			return false, fmt.Errorf("the rule %q is too slow for %.100q; simplify it", r.line, name)
		}
		if match {
			ignored = !r.negative
		}
	}
	return ignored, nil
}
