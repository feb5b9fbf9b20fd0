package buildlog

import (
	"regexp"
	"strings"
)

var (
	errorLine = regexp.MustCompile(`(?i)^\s*(npm (err!|error)|[a-z]*error\b|fatal\b|failure:|✖|failed\b|caused by:|\S+: error:|.*\bENOSPC\b)`)
	warnLine  = regexp.MustCompile(`(?i)^\s*(npm warn|warn(ing)?\b|›? ?warning:)`)
)

// Plain returns a line without its colour and cursor sequences, such as ESC [ 1 ; 31 m.
func Plain(text string) string {
	at := strings.IndexByte(text, 0x1b)
	if at < 0 {
		return text
	}
	plain := make([]byte, 0, len(text))
	for at >= 0 {
		n := escape(text[at:])
		if n == 0 { // another kind of sequence stays
			n = 1
			plain = append(plain, text[:at+1]...)
		} else {
			plain = append(plain, text[:at]...)
		}
		text = text[at+n:]
		at = strings.IndexByte(text, 0x1b)
	}
	return string(append(plain, text...))
}

// escape returns the length of the sequence that text begins with; 0 if it is not one of colours or the cursor.
func escape(text string) int {
	if len(text) < 3 || text[1] != '[' {
		return 0
	}
	for i := 2; i < len(text); i++ {
		switch b := text[i]; {
		case b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z':
			return i + 1
		case (b < '0' || b > '9') && b != ';' && b != '?':
			return 0
		}
	}
	return 0
}

// Level guesses what a tool meant: error, warn or info. Tools write progress to stderr and errors to stdout as they like, so
// the words tell more than the pipe.
func Level(text string) string {
	if !suspect(text) {
		return "info"
	}
	plain := Plain(text)
	switch {
	case errorLine.MatchString(plain):
		return "error"
	case warnLine.MatchString(plain):
		return "warn"
	}
	return "info"
}

// suspect says whether a line has one of the words at all that the expressions look for: nearly none has, and looking for
// words is ten times as quick.
func suspect(text string) bool {
	for i := range len(text) {
		switch text[i] | 0x20 { // letters in lower case
		case 'e':
			if begins(text[i:], "err") || begins(text[i:], "enospc") {
				return true
			}
		case 'f':
			if begins(text[i:], "fa") { // fatal, failed, failure
				return true
			}
		case 'w':
			if begins(text[i:], "warn") {
				return true
			}
		case 'c':
			if begins(text[i:], "caused by") {
				return true
			}
		case 0xe2: // ✖
			return true
		}
	}
	return false
}

// begins ignores case.
func begins(text, word string) bool {
	return len(text) >= len(word) && strings.EqualFold(text[:len(word)], word)
}
