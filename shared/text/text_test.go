package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/expo-free-agent/freeagent/shared/text"
)

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"äöü", 3, "ä"}, {"äöü", 4, "äö"}, {"€€", 5, "€"}, {"😀", 3, ""}, {"😀", 1, ""}, {"a😀", 4, "a"},
		{"abc", 0, ""}, {"abc", -1, ""}, {strings.Repeat("\x80", 9), 6, strings.Repeat("\x80", 6)},
	} {
		if got := text.Cut(tt.in, tt.n); got != tt.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "caf\xe9 ok": "caf\uFFFD ok", "nul \x00 byte \xff": "nul \uFFFD byte \uFFFD", "\x1b[31mred\t\n": "\x1b[31mred\t\n",
	} {
		if got := text.Clean(in); got != want || !text.Valid(got) {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := text.Line("a\r\nb\x1b[0m\u0085c"); got != "a  b [0m c" {
		t.Errorf("Line = %q", got)
	}
	if got := text.Shorten("ää\x00ä", 7); got != "ää…" {
		t.Errorf("Shorten = %q", got)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{"": true, "Ünïcode 😀": true, "a\nb": false, "a\x00": false, "\xff": false, "\u0085": false} {
		if err := text.Check(in); (err == nil) != ok {
			t.Errorf("Check(%q) = %v", in, err)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a😀\xff\x00b", 3)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n %= 1 << 16
		if got := text.Cut(s, n); len(got) > max(n, 0) || !strings.HasPrefix(s, got) || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("Cut(%q, %d) = %q", s, n, got)
		}
		if got := text.Shorten(s, n); !text.Valid(got) || len(got) > max(n, len(text.Ellipsis)) {
			t.Errorf("Shorten(%q, %d) = %q", s, n, got)
		}
		if got := text.Line(s); text.Check(got) != nil {
			t.Errorf("Line(%q) = %q", s, got)
		}
		if clean := text.Clean(s); text.Clean(clean) != clean || text.Valid(s) && clean != s {
			t.Errorf("Clean(%q) = %q", s, clean)
		}
	})
}
