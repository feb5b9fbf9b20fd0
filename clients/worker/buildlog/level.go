package buildlog

import (
	"regexp"
	"strings"
)

// ansi is a colour or cursor sequence.
var ansi = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

var (
	errorLine = regexp.MustCompile(`(?i)^\s*(npm (err!|error)|[a-z]*error\b|fatal\b|failure:|✖|failed\b|caused by:|\S+: error:|.*\bENOSPC\b)`)
	warnLine  = regexp.MustCompile(`(?i)^\s*(npm warn|warn(ing)?\b|›? ?warning:)`)
)

// Plain returns a line without its colours.
func Plain(text string) string {
	if strings.IndexByte(text, 0x1b) < 0 {
		return text
	}
	return ansi.ReplaceAllString(text, "")
}

// Level guesses what a tool meant: error, warn or info. Tools write progress to stderr and errors to stdout as they like, so
// the words tell more than the pipe.
func Level(text string) string {
	if !suspect(text) {
		return "info"
	}
	plain := Plain(text)
	switch {
	case errorLine.MatchString(plain):
		return "error"
	case warnLine.MatchString(plain):
		return "warn"
	}
	return "info"
}

// suspect says whether a line has one of the words at all that the expressions look for: nearly none has, and looking for
// words is ten times as quick.
func suspect(text string) bool {
	for i := range len(text) {
		switch text[i] | 0x20 { // letters in lower case
		case 'e':
			if begins(text[i:], "err") || begins(text[i:], "enospc") {
				return true
			}
		case 'f':
			if begins(text[i:], "fa") { // fatal, failed, failure
				return true
			}
		case 'w':
			if begins(text[i:], "warn") {
				return true
			}
		case 'c':
			if begins(text[i:], "caused by") {
				return true
			}
		case 0xe2: // ✖
			return true
		}
	}
	return false
}

// begins ignores case.
func begins(text, word string) bool {
	return len(text) >= len(word) && strings.EqualFold(text[:len(word)], word)
}
