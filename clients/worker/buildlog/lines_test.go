package buildlog_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
)

func linesOf(mask buildlog.Mask, writes ...string) []string {
	var got []string
	l := buildlog.NewLines(mask, func(text string) { got = append(got, text) })
	for _, w := range writes {
		_, _ = l.Write([]byte(w))
	}
	l.Close()
	return got
}

func TestLines(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ writes, want []string }{
		"whole":               {[]string{"a\nb\n"}, []string{"a", "b"}},
		"in pieces":           {[]string{"a", "b\nc", "\n"}, []string{"ab", "c"}},
		"no end":              {[]string{"a\nb"}, []string{"a", "b"}},
		"empty":               {[]string{"\n\n"}, []string{"", ""}},
		"windows":             {[]string{"a\r\nb\r", "\nc\r\n"}, []string{"a", "b", "c"}},
		"progress":            {[]string{"10%\r50%\r", "100%\ndone\n"}, []string{"100%", "done"}},
		"progress ends":       {[]string{"10%\r50%\r"}, []string{"50%"}},
		"colours":             {[]string{"\x1b[31mred\x1b[0m\n"}, []string{"\x1b[31mred\x1b[0m"}},
		"no UTF-8":            {[]string{"a\xff\xfeb\n"}, []string{"a\uFFFDb"}},
		"character in pieces": {[]string{"\xe2", "\x96", "\xb8\n"}, []string{"▸"}},
		"nothing":             {nil, nil},
	} {
		if diff := cmp.Diff(tt.want, linesOf(buildlog.Mask{}, tt.writes...)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("abc▸", 20_000)
	got := linesOf(buildlog.Mask{}, long+"\n", "next\n")
	for i, piece := range got {
		if len(piece) > buildlog.MaxLine+len(buildlog.Continued) || !utf8.ValidString(piece) || strings.Contains(piece, "\uFFFD") {
			t.Errorf("piece %d has %d bytes, valid %v", i, len(piece), utf8.ValidString(piece))
		}
		got[i] = strings.TrimSuffix(piece, buildlog.Continued)
	}
	if strings.Join(got, "") != long+"next" {
		t.Error("the pieces are not the line")
	}
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	mask := buildlog.NewMask([]string{"hunter22", "hunter2222", "x", "first line\nsecond line\n", ""})
	got := linesOf(mask, "pass hun", "ter22!\n", "hunter2222 x\n", "the second line\n")
	if diff := cmp.Diff([]string{"pass [secret]!", "[secret] x", "the [secret]"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsAtTheCutAreMasked(t *testing.T) {
	t.Parallel()
	mask := buildlog.NewMask([]string{"TOPSECRET"})
	for shift := range 30 {
		line := strings.Repeat("-", buildlog.MaxLine-15+shift) + "TOPSECRET" + strings.Repeat("-", 100)
		all := strings.Join(linesOf(mask, line), "")
		if strings.Contains(strings.ReplaceAll(all, buildlog.Continued, ""), "TOPSECRET") {
			t.Fatalf("shift %d: the secret shows", shift)
		}
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"npm ERR! code E404": "error", "npm error 404": "error", "\x1b[31mError: Cannot find module\x1b[0m": "error",
		"TypeError: x is not a function": "error", "FAILURE: Build failed": "error", "npm warn deprecated": "warn",
		"Warning: old": "warn", "added 468 packages": "info", "0 errors": "info", "src/a.c:1: error: x": "error", "": "info",
	} {
		if got := buildlog.Level(text); got != want {
			t.Errorf("Level(%q) = %s, want %s", text, got, want)
		}
	}
}
