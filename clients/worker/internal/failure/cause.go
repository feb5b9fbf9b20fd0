package failure

import (
	"fmt"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/text"
)

// Blame says whose fault a failure is.
type Blame int

// The faults. Project is the zero value: a stage's failure is the project's until the output says otherwise.
const (
	Project Blame = iota
	Network
	Machine
)

// String returns "project", "network" or "machine".
func (b Blame) String() string { return [...]string{"project", "network", "machine"}[b] }

// Cause is why a stage failed.
type Cause struct {
	// Rule is the id of the rule that matched; empty if none did.
	Rule string
	// Text is a sentence without its full stop.
	Text string
	// Where is a place in the project, file:line:column; empty if unknown.
	Where string
	// Cure is a sentence that says what to do; may be empty.
	Cure string
	// Line is the number, in the stage's output, of the line that names the cause; 0 if unknown. The number in the whole log is not known here:
	// lines of the control plane and of earlier attempts come before.
	Line  int64
	Blame Blame
	// Elsewhere means that another machine may succeed with the same input.
	Elsewhere bool
}

// Known reports whether a rule matched.
func (c Cause) Known() bool { return c.Rule != "" }

// The bounds of a cause's parts, in bytes. The whole has at most about 600: it is shown in lists and
// in the state of a commit.
const (
	maxCause = 300
	maxWhere = 100
	maxCure  = 180
)

// String returns the cause in one or two sentences: "text (where). cure (output line 12)".
func (c Cause) String() string {
	if c.Text == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString(text.Shorten(text.Line(c.Text), maxCause))
	if c.Where != "" && !strings.Contains(c.Text, c.Where) {
		fmt.Fprintf(&b, " (%s)", text.Shorten(c.Where, maxWhere))
	}
	if !c.Known() {
		return b.String()
	}
	if !strings.HasSuffix(c.Text, "?") && !strings.HasSuffix(c.Text, "!") {
		b.WriteByte('.')
	}
	if c.Blame != Project {
		fmt.Fprintf(&b, " This is the %s's fault, not the project's.", c.Blame)
	}
	if c.Cure != "" {
		b.WriteString(" " + text.Shorten(c.Cure, maxCure))
	}
	if c.Line > 0 {
		fmt.Fprintf(&b, " (output line %d)", c.Line)
	}
	return b.String()
}

// killedCause is that of a process that was killed by someone else than the worker.
func killedCause() Cause {
	return Cause{Rule: "killed", Text: killedText, Cure: cureMemory, Blame: Machine}
}
