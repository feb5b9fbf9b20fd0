package buildlog

import (
	"fmt"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
)

// Limits of one attempt's log. The end of a log says why a build failed, so the last lines are sent whatever came before.
type Limits struct {
	// Lines and Bytes are how much is sent as it comes; 0 means the default.
	Lines, Bytes int64
	// Last is how many lines are kept of what comes beyond, until the end; 0 means the default.
	Last int
}

// The defaults of Limits.
const (
	// DefaultLines and DefaultBytes are more than any honest build prints: the largest logs of iOS builds have some 200,000 lines.
	DefaultLines = 2_000_000
	DefaultBytes = 200 << 20
	// DefaultLast is what fits on some screens.
	DefaultLast = 1000
	// lastBytes bounds the last lines in memory.
	lastBytes = 1 << 20
)

func (l Limits) withDefaults() Limits {
	if l.Lines == 0 {
		l.Lines = DefaultLines
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultBytes
	}
	if l.Last == 0 {
		l.Last = DefaultLast
	}
	return l
}

// budget counts what is sent of a log, and holds the last lines once it is used up.
type budget struct {
	limits       Limits
	lines, bytes int64
	// over: the limit is reached. last is a ring that begins at head.
	over       bool
	last       []*eventsv1.LogLine
	head, held int
	// dropped is what fell out of the ring.
	dropped, droppedBytes int64
}

// take says whether a line is sent as it comes. Else it is held, and the first time there is a notice to send instead.
func (b *budget) take(l *eventsv1.LogLine) (send bool, notice *eventsv1.LogLine) {
	if !b.over {
		b.lines++
		b.bytes += int64(len(l.GetText()))
		if b.lines <= b.limits.Lines && b.bytes <= b.limits.Bytes {
			return true, nil
		}
		b.over = true
		notice = b.line(l, fmt.Sprintf("✂ This log has reached its limit (%s). From here on only its last %s follow, when the build ends.",
			b.limits.words(), counted(int64(b.limits.Last), "line")))
	}
	b.hold(l)
	return false, notice
}

func (b *budget) hold(l *eventsv1.LogLine) {
	b.last = append(b.last, l)
	b.held += cost(l)
	for len(b.last)-b.head > b.limits.Last || b.held > lastBytes && len(b.last)-b.head > 1 {
		old := b.last[b.head]
		b.last[b.head] = nil
		b.head++
		b.held -= cost(old)
		b.dropped++
		b.droppedBytes += int64(len(old.GetText()))
	}
	if b.head > b.limits.Last { // so that the array does not grow for ever
		b.last, b.head = append([]*eventsv1.LogLine(nil), b.last[b.head:]...), 0
	}
}

// release gives the last lines, and before them the mark that says how much is missing.
func (b *budget) release() []*eventsv1.LogLine {
	lines := b.last[b.head:]
	if len(lines) > 0 && b.dropped > 0 {
		mark := b.line(lines[0], fmt.Sprintf("✂ %s (%s) left out here: the log had reached its limit (%s).",
			counted(b.dropped, "line"), size(b.droppedBytes), b.limits.words()))
		lines = append([]*eventsv1.LogLine{mark}, lines...)
	}
	b.last, b.head, b.held, b.dropped, b.droppedBytes = nil, 0, 0, 0, 0
	return lines
}

func (b *budget) line(like *eventsv1.LogLine, text string) *eventsv1.LogLine {
	return &eventsv1.LogLine{AtMs: like.GetAtMs(), Level: "warn", Stage: like.GetStage(), Text: text}
}

func (l Limits) words() string { return counted(l.Lines, "line") + " or " + size(l.Bytes) }

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", thousands(n), what)
}

func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func size(bytes int64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%.4g MB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.3g kB", float64(bytes)/(1<<10))
	}
	return counted(bytes, "byte")
}
