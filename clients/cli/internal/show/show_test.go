package show_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

func TestSafe(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain\ttext":                       "plain\ttext",
		"\x1b[32mgreen\x1b[0m":              "\x1b[32mgreen\x1b[0m",
		"\x1b[38;5;1mred":                   "\x1b[38;5;1mred",
		"a\x1b]0;title\ab":                  "ab",
		"a\x1b]8;;http://x\x1b\\link":       "alink",
		"a\x1b[2Jb\x1b[1;1Hc\x1b[?1049hd":   "abcd",
		"a\x1bcb":                           "ab",
		"a\x1bP1$r\x1b\\b":                  "ab",
		"back\bspace\rreturn\nline\x00\x9b": "backspacereturnline\uFFFD",
		"\x1b":                              "",
		"näme 日本":                           "näme 日本",
	} {
		if got := show.Safe(in); got != want {
			t.Errorf("Safe(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("\x1b[31m\x1b]0;x\a")
	f.Fuzz(func(t *testing.T, text string) {
		once := show.Safe(text)
		for i, r := range once {
			if r == '\x1b' && (i+1 >= len(once) || once[i+1] != '[') || r < ' ' && r != '\t' && r != '\x1b' {
				t.Errorf("Safe(%q) = %q", text, once)
			}
		}
	})
}

func terminal() (session.IO, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return session.IO{Out: &out, Err: &errs, OutTTY: true, ErrTTY: true, Getenv: func(string) string { return "" }, Now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}, &out, &errs
}

func TestLinesOnATerminal(t *testing.T) {
	t.Parallel()
	s, out, _ := terminal()
	show.Line(s, api.LogLine{Level: "error", Text: "no\x1b[2J way"})
	show.Line(s, api.LogLine{Level: "info", Text: "fine"})
	if got, want := out.String(), "\x1b[31merror: \x1b[0mno way\nfine\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

// TestLinesInAPipe: a pipe may end at a terminal, such as that of a pager.
func TestLinesInAPipe(t *testing.T) {
	t.Parallel()
	s, out, _ := terminal()
	s.OutTTY, s.ErrTTY = false, false
	show.Line(s, api.LogLine{Level: "error", Text: "\x1b]0;title\a\x1b[2J\x1b[1A\x1b[31mred\x1b[0m"})
	if got, want := out.String(), "error: \x1b[31mred\x1b[0m\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	s, _, errs := terminal()
	p := show.NewProgress(s, "uploading", 4096)
	p.Add(1024)
	p.Add(1024)
	p.Done()
	want := "\r\x1b[Kuploading 1.0 KiB of 4.0 KiB, 25 %, 1.0 KiB/s\r\x1b[Kuploading 2.0 KiB of 4.0 KiB, 50 %, 1.0 KiB/s\r\x1b[K"
	if got := errs.String(); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB"} {
		if got := show.Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		20 * time.Millisecond: "20 ms", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s",
		2*time.Hour + 5*time.Minute: "2 h 5 min", 50 * time.Hour: "2 d 2 h",
	} {
		if got := show.Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}
