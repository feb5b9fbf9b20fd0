package worker

import (
	"regexp"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// culprit watches a command's output for the line that says why it failed: the last one that looks like an error and says
// something, else the last that says anything. It is a guess; the whole log is there for who wants to be sure.
type culprit struct{ failed, last string }

// noise are error lines that lead elsewhere, and frames of a stack.
var noise = regexp.MustCompile(`(?i)a complete log of this run|^npm (err!|error) (code|errno|path|command|syscall)\b|^npm (err!|error)$|^(npm (err!|error) )?\s*at `)

// mayBeNoise spares nearly all lines the expression.
func mayBeNoise(text string) bool {
	return text[0]|0x20 == 'n' || text[0]|0x20 == 'a' || strings.Contains(text, "log of this run")
}

// culpritMax bounds the line in an error's text, in bytes.
const culpritMax = 300

func (c *culprit) see(level, text string) {
	text = strings.TrimSpace(buildlog.Plain(text))
	if text == "" || mayBeNoise(text) && noise.MatchString(text) {
		return
	}
	c.last = text
	if level == "error" {
		c.failed = text
	}
}

func (c *culprit) line() string {
	line := c.failed
	if line == "" {
		line = c.last
	}
	return text.Shorten(line, culpritMax)
}
