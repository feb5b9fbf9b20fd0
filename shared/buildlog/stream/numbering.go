package stream

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Numbering makes lines of chunks. It belongs to one goroutine.
type Numbering struct {
	lines int64
	last  map[series]int64
	out   []logarchive.Line
}

// series is a worker's lines of one attempt, which it numbers from 1, or a single message of the control plane.
type series struct {
	writer  string
	attempt int32
}

// seriesOf returns the series that a message belongs to. Each message of the control plane has one of its own, so Numbering
// recognizes its repeat, also behind an archive, whose marks contain the series. The names cannot collide with those of workers:
// the scheduler accepts only ids without a slash (build.ValidID).
func seriesOf(writer, id string, attempt int32) series {
	if id != "" {
		writer = controlPrefix + id
	}
	return series{writer, attempt}
}

// controlPrefix begins the names of control-plane messages in marks.
const controlPrefix = bus.System + "/"

// NewNumbering continues after an archive with so many lines and these marks.
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

// Clone returns an independent copy.
func (n *Numbering) Clone() *Numbering { return &Numbering{lines: n.lines, last: maps.Clone(n.last)} }

// Add returns the lines of the next chunk that the log does not have yet; they are valid until the next call.
func (n *Numbering) Add(c Chunk) []logarchive.Line {
	n.out = n.out[:0]
	skip, missing := n.place(seriesOf(c.Writer, c.ID, c.GetAttempt()), c.GetFirstLine(), len(c.GetLines()))
	if missing > 0 {
		n.missing(c, missing)
	}
	for _, l := range c.GetLines()[skip:] {
		n.add(logarchive.Line{AtMs: l.GetAtMs(), Attempt: c.GetAttempt(), Level: level(l.GetLevel()), Stage: l.GetStage(), Text: l.GetText()})
	}
	return n.out
}

// Pass counts the lines of a chunk of which only the head is known, as Add does.
func (n *Numbering) Pass(h Head) {
	skip, missing := n.place(seriesOf(h.Writer, h.ID, h.Attempt), h.First, h.Count)
	if missing > 0 {
		n.lines++
	}
	n.lines += int64(h.Count - skip)
}

// place says how many lines of a chunk the log has already, and how many are missing before it.
//
// Who has begun to number its lines and then sends some without a number is a gateway, on behalf of a worker whose log had
// reached its limit: its one numbered line says so, and what other gateways sent before they knew of it is dropped here.
func (n *Numbering) place(s series, first int64, count int) (skip int, missing int64) {
	switch last := n.last[s]; {
	case count == 0:
		return 0, 0
	case strings.HasPrefix(s.writer, controlPrefix) && last == 0:
		n.last[s] = int64(count)
		return 0, 0
	case first <= 0 && last > 0:
		return count, 0
	case first <= 0:
		return 0, 0
	case first <= last:
		skip = int(min(last+1-first, int64(count)))
	default:
		missing = first - last - 1
	}
	n.last[s] = max(n.last[s], first+int64(count)-1)
	return skip, missing
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
