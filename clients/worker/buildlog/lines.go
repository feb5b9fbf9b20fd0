package buildlog

import (
	"bytes"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/expo-free-agent/freeagent/shared/text"
)

// MaxLine bounds a line in bytes; a longer one is cut into several, each but the last marked with Continued.
const MaxLine = 16 << 10

// Continued ends a piece of a line that was too long.
const Continued = " …"

// Lines cuts a stream of bytes into lines. It is an io.Writer, safe for concurrent use; Close gives what has no line end yet.
//
// A lone carriage return begins the line anew, as on a terminal: of a progress bar the last state remains. Bytes that are no
// UTF-8, and NUL, become U+FFFD; colours (ANSI) stay.
type Lines struct {
	mask Mask
	emit func(text string)

	mu  sync.Mutex
	buf []byte
	// cr: the last byte was a carriage return, and whether it ends the line the next byte tells.
	cr bool
	// swallow: a secret is longer than a piece, and these bytes continue it. key is a private key over several lines.
	swallow *charset
	key     pemBody
}

// NewLines returns Lines that calls emit for each line, one call at a time.
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
		l.buf, l.cr, l.swallow = l.buf[:0], false, nil
	}
	if p = l.swallowed(p); len(p) == 0 {
		return
	}
	for len(p) > 0 {
		// Room for a secret or a character that reaches over the bound.
		room := MaxLine + l.mask.reach() + utf8.UTFMax - len(l.buf)
		take := min(room, len(p))
		l.buf = append(l.buf, p[:take]...)
		p = p[take:]
		if take == room {
			l.cut()
			p = l.swallowed(p)
		}
	}
}

// swallowed drops what belongs to a secret whose beginning was in the piece before.
func (l *Lines) swallowed(p []byte) []byte {
	for l.swallow != nil && len(p) > 0 {
		if !l.swallow[p[0]] {
			l.swallow = nil
			break
		}
		p = p[1:]
	}
	return p
}

// cut gives the front of a line that is too long. Behind the bound there is enough of the line to see every secret whole that
// begins before it; what begins behind it is for the next piece.
func (l *Lines) cut() {
	raw := string(l.buf)
	text, end, more := l.mask.scan(raw, MaxLine)
	for back := 0; back < utf8.UTFMax && end < len(raw) && !utf8.RuneStart(raw[end]) && strings.HasSuffix(text, raw[end-1:end]); back++ {
		end--
		text = text[:len(text)-1]
	}
	l.piece(clean(text) + Continued)
	l.buf = append(l.buf[:0], raw[end:]...)
	l.swallow = more
}

// piece gives a text that may have grown beyond the bound: what stands for a secret can be longer than it.
func (l *Lines) piece(text string) {
	for len(text) > MaxLine+len(Continued) {
		at := MaxLine
		for !utf8.RuneStart(text[at]) {
			at--
		}
		l.emit(text[:at] + Continued)
		text = text[at:]
	}
	l.emit(text)
}

func (l *Lines) flush() {
	raw := string(l.buf)
	l.buf, l.swallow = l.buf[:0], nil
	if l.mask.t == nil {
		l.piece(clean(raw))
		return
	}
	text := l.mask.Text(l.key.hide(raw))
	l.key.open(raw)
	l.piece(clean(text))
}

// Close emits the last line if it had no end.
func (l *Lines) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.flush()
	}
	l.cr = false
}

func clean(s string) string { return text.Clean(s) }
