package text

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Replacement stands for each NUL, and for each run of bytes that are no UTF-8.
const Replacement = "\uFFFD"

// Ellipsis ends a text that Shorten has cut.
const Ellipsis = "…"

var (
	errUTF8    = errors.New("is not UTF-8 text")
	errControl = errors.New("has a control character")
)

// Valid reports whether s is text: valid UTF-8 without NUL.
func Valid(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// Check returns nil for one printable line, and otherwise an error that completes the sentence "The field …".
func Check(s string) error {
	if !utf8.ValidString(s) {
		return errUTF8
	}
	if strings.ContainsFunc(s, isControl) {
		return errControl
	}
	return nil
}

// Clean returns s as text. Anything but NUL and invalid UTF-8 stays, colours too.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, Replacement)
	if strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(s, "\x00", Replacement)
}

// Line returns s as one printable line: control characters become spaces.
func Line(s string) string {
	s = Clean(s)
	if !strings.ContainsFunc(s, isControl) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, s)
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// Cut returns at most n bytes of s and never a part of a character. What is no UTF-8 in s stays.
func Cut(s string, n int) string {
	n = max(n, 0)
	if len(s) <= n {
		return s
	}
	// A character begins at most three bytes before its last; continuation bytes without a beginning belong to none.
	for at := n; at >= 0 && n-at < utf8.UTFMax; at-- {
		if utf8.RuneStart(s[at]) {
			return s[:at]
		}
	}
	return s[:n]
}

// Shorten returns s as text of at most n bytes; it ends with Ellipsis if something was cut.
func Shorten(s string, n int) string {
	s = Clean(s)
	if len(s) <= n {
		return s
	}
	return Cut(s, n-len(Ellipsis)) + Ellipsis // longer than n only if n is less than Ellipsis
}

// Size formats a number of bytes: "18.4 MiB".
func Size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 3 {
		f /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGT"[i])
}
