package buildlog

import (
	"bytes"
	"strings"
	"sync"
	"unicode/utf8"
)

// MaxLine bounds a line in bytes; a longer one is cut into several, each but the last marked with Continued.
const MaxLine = 16 << 10

// Continued ends a piece of a line that was too long.
const Continued = " …"

// Lines cuts a stream of bytes into lines. It is an io.Writer, safe for concurrent use; Close gives what has no line end yet.
//
// A lone carriage return begins the line anew, as on a terminal: of a progress bar the last state remains. Bytes that are no
// UTF-8 become U+FFFD; colours (ANSI) stay.
type Lines struct {
	mask Mask
	emit func(text string)

	mu  sync.Mutex
	buf []byte
	// cr: the last byte was a carriage return, and whether it ends the line the next byte tells.
	cr bool
}

// NewLines gives lines to emit, one call at a time.
func NewLines(mask Mask, emit func(text string)) *Lines { return &Lines{mask: mask, emit: emit} }

// Write never fails; it waits where emit waits.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexAny(p, "\r\n")
		switch {
		case i < 0:
			l.add(p)
			return n, nil
		case i > 0:
			l.add(p[:i])
		}
		l.end(p[i])
		p = p[i+1:]
	}
	return n, nil
}

func (l *Lines) end(b byte) {
	if b == '\r' {
		l.cr = true
		return
	}
	l.cr = false
	l.flush()
}

func (l *Lines) add(p []byte) {
	if l.cr {
		l.buf, l.cr = l.buf[:0], false
	}
	for len(p) > 0 {
		// Room for a secret or a character that reaches over the bound.
		room := MaxLine + l.mask.longest + utf8.UTFMax - len(l.buf)
		take := min(room, len(p))
		l.buf = append(l.buf, p[:take]...)
		p = p[take:]
		if take == room {
			l.cut()
		}
	}
}

// cut gives the front of a line that is too long. What could be the beginning of a secret stays for the next piece.
func (l *Lines) cut() {
	text := l.mask.Text(string(l.buf))
	at := min(MaxLine, len(text)-l.mask.longest-utf8.UTFMax)
	for back := 0; at > 0 && back < utf8.UTFMax && !utf8.RuneStart(text[at]); back++ {
		at--
	}
	if at <= 0 { // next to nothing remains of a line of secrets
		l.buf = append(l.buf[:0], text...)
		return
	}
	l.emit(clean(text[:at]) + Continued)
	l.buf = append(l.buf[:0], text[at:]...)
}

func (l *Lines) flush() {
	l.emit(clean(l.mask.Text(string(l.buf))))
	l.buf = l.buf[:0]
}

// Close gives the last line if it had no end.
func (l *Lines) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.flush()
	}
	l.cr = false
}

func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
