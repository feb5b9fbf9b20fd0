package buildlog

import (
	"fmt"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
)

// Limits of one attempt's log. Its end says why a build failed, so the last lines are always sent.
type Limits struct {
	// Lines and Bytes are how much is sent as it comes; 0 means the default.
	Lines, Bytes int64
	// Last is how many lines are kept of what comes beyond, until the end; 0 means the default.
	Last int
}

// The defaults of Limits.
const (
	DefaultLines = loglimit.DefaultLines
	DefaultBytes = loglimit.DefaultBytes
	// DefaultLast is what fits on some screens.
	DefaultLast = 1000
	// lastBytes bounds the last lines in memory.
	lastBytes = 1 << 20
)

func (l Limits) withDefaults() Limits {
	whole := l.limit().OrDefault()
	l.Lines, l.Bytes = whole.Lines, whole.Bytes
	if l.Last == 0 {
		l.Last = DefaultLast
	}
	return l
}

func (l Limits) limit() loglimit.Limit { return loglimit.Limit{Lines: l.Lines, Bytes: l.Bytes} }

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

// admit reports whether a line is sent now. Otherwise it is held back, and the first time admit returns a notice to send instead.
func (b *budget) admit(l *eventsv1.LogLine) (send bool, notice *eventsv1.LogLine) {
	if !b.over {
		b.lines++
		b.bytes += int64(len(l.GetText()))
		if b.lines <= b.limits.Lines && b.bytes <= b.limits.Bytes {
			return true, nil
		}
		b.over = true
		notice = b.line(l, b.limits.limit().Reached(fmt.Sprintf("From here on only its last %s follow, when the build ends.",
			loglimit.Counted(int64(b.limits.Last), "line"))))
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

// release returns the lines held back, after a line that says how many are missing.
func (b *budget) release() []*eventsv1.LogLine {
	lines := b.last[b.head:]
	if len(lines) > 0 && b.dropped > 0 {
		mark := b.line(lines[0], fmt.Sprintf("✂ %s (%s) left out here: the log had reached its limit (%s).",
			loglimit.Counted(b.dropped, "line"), loglimit.Size(b.droppedBytes), b.limits.limit()))
		lines = append([]*eventsv1.LogLine{mark}, lines...)
	}
	b.last, b.head, b.held, b.dropped, b.droppedBytes = nil, 0, 0, 0, 0
	return lines
}

func (b *budget) line(like *eventsv1.LogLine, text string) *eventsv1.LogLine {
	return &eventsv1.LogLine{AtMs: like.GetAtMs(), Level: "warn", Stage: like.GetStage(), Text: text}
}
