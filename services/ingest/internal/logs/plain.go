package logs

import "strings"

// Plain removes escape sequences and control characters except tabs from a line.
func Plain(s string) string {
	if strings.IndexFunc(s, control) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == 0x1b:
			i += escape(s[i:])
		case c == 0xc2 && i+1 < len(s) && s[i+1] >= 0x80 && s[i+1] <= 0x9f: // the controls of ISO 6429 in one character
			i += 2
		case c == '\t' || c >= ' ' && c != 0x7f:
			b.WriteByte(c)
			i++
		default:
			i++
		}
	}
	return b.String()
}

func control(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r <= 0x9f }

// escape returns the length of the escape sequence at the start of s: ESC [ ... letter, ESC ] ...
// BEL or ESC \ (and similar strings), or ESC and the next characters.
func escape(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
		return len(s)
	case ']', 'P', 'X', '^', '_':
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	}
	for i := 1; i < len(s); i++ { // intermediates, then a final byte
		if s[i] < 0x20 || s[i] > 0x2f {
			return i + 1
		}
	}
	return len(s)
}
