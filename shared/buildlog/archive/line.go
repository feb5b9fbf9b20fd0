package archive

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Line is one line of a build's log.
type Line struct {
	// Number in the whole log of the build, from 1. A Writer gives it; what a caller sets is not looked at.
	Number  int64
	AtMs    int64
	Attempt int32
	Level   string
	Stage   string
	Text    string
}

// Cost is about what a line takes in memory and on the wire.
func (l Line) Cost() int { return len(l.Text) + len(l.Stage) + lineCost }

const lineCost = 64

// appendLine encodes l as doc.go says.
func appendLine(b []byte, l Line) []byte {
	b = strconv.AppendInt(b, int64(l.Attempt), 10)
	b = append(b, '\t')
	b = strconv.AppendInt(b, l.AtMs, 10)
	b = append(b, '\t')
	b = appendEscaped(b, l.Level)
	b = append(b, '\t')
	b = appendEscaped(b, l.Stage)
	b = append(b, '\t')
	b = appendEscaped(b, l.Text)
	return append(b, '\n')
}

const special = "\\\n\r\t"

func appendEscaped(b []byte, s string) []byte {
	for {
		i := strings.IndexAny(s, special)
		if i < 0 {
			return append(b, s...)
		}
		b = append(b, s[:i]...)
		b = append(b, '\\', "\\nrt"[strings.IndexByte(special, s[i])])
		s = s[i+1:]
	}
}

func unescape(b []byte) string {
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for ; i >= 0 && i+1 < len(b); i = bytes.IndexByte(b, '\\') {
		out = append(out, b[:i]...)
		if k := strings.IndexByte("\\nrt", b[i+1]); k >= 0 {
			out = append(out, special[k])
		}
		b = b[i+2:]
	}
	return string(append(out, b...))
}

// parseLine is the inverse of appendLine; line has no line break at its end.
func parseLine(line []byte) (l Line, err error) {
	var field [4][]byte
	for i := range field {
		at := bytes.IndexByte(line, '\t')
		if at < 0 {
			return l, fmt.Errorf("%w: a line has %d fields", ErrCorrupt, i+1)
		}
		field[i], line = line[:at], line[at+1:]
	}
	attempt, err1 := strconv.ParseInt(string(field[0]), 10, 32)
	at, err2 := strconv.ParseInt(string(field[1]), 10, 64)
	if err1 != nil || err2 != nil {
		return l, fmt.Errorf("%w: a line begins %.40q", ErrCorrupt, field[0])
	}
	return Line{
		AtMs: at, Attempt: int32(attempt), Level: word(field[2]), Stage: unescape(field[3]), Text: unescape(line),
	}, nil
}

// word spares an allocation for the words that nearly all lines have.
func word(b []byte) string {
	switch string(b) {
	case "info":
		return "info"
	case "warn":
		return "warn"
	case "error":
		return "error"
	case "debug":
		return "debug"
	}
	return unescape(b)
}
