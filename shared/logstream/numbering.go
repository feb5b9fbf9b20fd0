package logstream

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/expo-free-agent/freeagent/shared/logarchive"
)

// Numbering makes lines of chunks. It belongs to one goroutine.
type Numbering struct {
	lines int64
	last  map[series]int64
	out   []logarchive.Line
}

// series is a worker's lines of one attempt, which it numbers from 1.
type series struct {
	writer  string
	attempt int32
}

// NewNumbering goes on after an archive with so many lines and these marks.
func NewNumbering(lines int64, marks []logarchive.Mark) *Numbering {
	n := &Numbering{lines: lines, last: map[series]int64{}}
	for _, m := range marks {
		n.last[series{m.Writer, m.Attempt}] = m.Last
	}
	return n
}

// Lines is how many the log has so far.
func (n *Numbering) Lines() int64 { return n.lines }

// Marks are for the archive.
func (n *Numbering) Marks() []logarchive.Mark {
	marks := make([]logarchive.Mark, 0, len(n.last))
	for s, last := range n.last {
		marks = append(marks, logarchive.Mark{Writer: s.writer, Attempt: s.attempt, Last: last})
	}
	slices.SortFunc(marks, func(a, b logarchive.Mark) int {
		return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.Writer, b.Writer))
	})
	return marks
}

// Add gives the lines of the next chunk that the log does not have yet; they are valid until the next call.
func (n *Numbering) Add(c Chunk) []logarchive.Line {
	n.out = n.out[:0]
	skip := 0
	if first := c.GetFirstLine(); first > 0 && len(c.GetLines()) > 0 {
		s := series{c.Writer, c.GetAttempt()}
		want := n.last[s] + 1
		switch {
		case first < want:
			skip = int(min(want-first, int64(len(c.GetLines()))))
		case first > want:
			n.missing(c, first-want)
		}
		n.last[s] = max(n.last[s], first+int64(len(c.GetLines()))-1)
	}
	for _, l := range c.GetLines()[skip:] {
		n.add(logarchive.Line{AtMs: l.GetAtMs(), Attempt: c.GetAttempt(), Level: level(l.GetLevel()), Stage: l.GetStage(), Text: l.GetText()})
	}
	return n.out
}

// missing says aloud what is not there.
func (n *Numbering) missing(c Chunk, count int64) {
	text := fmt.Sprintf("(%d log lines are missing here)", count)
	if count == 1 {
		text = "(1 log line is missing here)"
	}
	n.add(logarchive.Line{AtMs: c.GetLines()[0].GetAtMs(), Attempt: c.GetAttempt(), Level: "warn", Text: text})
}

func (n *Numbering) add(l logarchive.Line) {
	n.lines++
	l.Number = n.lines
	n.out = append(n.out, l)
}

// level is one of the four that clients know.
func level(word string) string {
	switch word {
	case "debug", "info", "warn", "error":
		return word
	}
	return "info"
}
