package show

import (
	"regexp"
	"strings"
)

// sequence matches terminal escape sequences: CSI, OSC and similar up to their end, and single
// escapes.
var sequence = regexp.MustCompile(`\x1b\[[\x30-\x3f]*[\x20-\x2f]*[\x40-\x7e]|\x1b[PX^_\]][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[\x20-\x2f]*[\x30-\x7e]|\x1b`)

var colours = regexp.MustCompile(`^\x1b\[[0-9;:]*m$`)

// Lines applies Safe to each line.
func Lines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Safe(line)
	}
	return strings.Join(lines, "\n")
}

// Safe removes control characters and escape sequences from untrusted text, except colours and
// tabs.
func Safe(text string) string {
	text = sequence.ReplaceAllStringFunc(text, func(s string) string {
		if colours.MatchString(s) {
			return s
		}
		return ""
	})
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\x1b' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
