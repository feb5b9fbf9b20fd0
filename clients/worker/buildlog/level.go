package buildlog

import "regexp"

// ansi is a colour or cursor sequence.
var ansi = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`) //nolint:gochecknoglobals // compiled once

var (
	errorLine = regexp.MustCompile(`(?i)^\s*(npm (err!|error)|[a-z]*error\b|fatal\b|failure:|✖|failed\b|caused by:|\S+: error:|.*\bENOSPC\b)`)
	warnLine  = regexp.MustCompile(`(?i)^\s*(npm warn|warn(ing)?\b|›? ?warning:)`)
)

// Plain gives a line without its colours.
func Plain(text string) string { return ansi.ReplaceAllString(text, "") }

// Level guesses what a tool meant: error, warn or info. Tools write progress to stderr and errors to stdout as they like, so
// the words tell more than the pipe.
func Level(text string) string {
	plain := Plain(text)
	switch {
	case errorLine.MatchString(plain):
		return "error"
	case warnLine.MatchString(plain):
		return "warn"
	}
	return "info"
}
