package buildlog_test

import (
	"regexp"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
)

// FuzzPlain holds Plain against an expression for the same sequences.
func FuzzPlain(f *testing.F) {
	sequence := regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	for _, s := range []string{"", "a", "\x1b[31mred\x1b[0m", "\x1b", "\x1b[", "\x1b[1;31", "\x1b[?25lx", "\x1b]0;t\x07v", "\x1b\x1b[2Kx", "\x1b[1 mx", "x\x1b[m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := buildlog.Plain(s), sequence.ReplaceAllString(s, ""); got != want {
			t.Errorf("Plain(%q) = %q, want %q", s, got, want)
		}
	})
}
