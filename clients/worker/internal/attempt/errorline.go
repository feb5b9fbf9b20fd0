package attempt

import (
	"regexp"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// errorLine finds the line of a command's output that says why it failed: the last line that looks like an error, or else the last line.
// It is a guess; the whole log is there too.
type errorLine struct{ lastError, last string }

// noise matches error lines that explain nothing, and stack frames.
var noise = regexp.MustCompile(`(?i)a complete log of this run|^npm (err!|error) (code|errno|path|command|syscall)\b|^npm (err!|error)$|^(npm (err!|error) )?\s*at `)

// mayBeNoise excludes nearly all lines without the expression.
func mayBeNoise(line string) bool {
	return line[0]|0x20 == 'n' || line[0]|0x20 == 'a' || strings.Contains(line, "log of this run")
}

// maxErrorLine bounds the line in an error's text, in bytes.
const maxErrorLine = 300

func (l *errorLine) add(level, line string) {
	line = strings.TrimSpace(buildlog.Plain(line))
	if line == "" || mayBeNoise(line) && noise.MatchString(line) {
		return
	}
	l.last = line
	if level == "error" {
		l.lastError = line
	}
}

func (l *errorLine) text() string {
	line := l.lastError
	if line == "" {
		line = l.last
	}
	return text.Shorten(line, maxErrorLine)
}
