package failure_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/failure"
)

// read gives an output to a new Finder.
func read(output string) *failure.Finder {
	f := failure.NewFinder("/builds/x/project")
	for _, line := range strings.Split(output, "\n") {
		f.Line(buildlog.Level(line), line)
	}
	return f
}

// TestUnrecognised: what no rule knows is quoted, and never explained.
func TestUnrecognised(t *testing.T) {
	t.Parallel()
	const unknown = "The output names no cause that Free Agent knows"
	for output, want := range map[string]string{
		"":              "The command printed nothing",
		"one":           unknown + "; the last line: one",
		"a\nb\n\nc\nd":  unknown + "; the last lines: b | c | d",
		"error: x\nfoo": unknown + "; the last error line: error: x",
		"x in /builds/x/project/a.js\nnpm error code 1\nnpm error A complete log of this run can be found in: /x": unknown + "; the last line: x in a.js",
		"error: " + strings.Repeat("long ", 100): unknown + "; the last error line: error: " + strings.Repeat("long ", 58) + "…",
	} {
		c := read(output).Find(1, "")
		if got := c.String(); c.Known() || got != want && !strings.HasPrefix(got, strings.TrimSuffix(want, "…")[:min(len(want), 120)]) {
			t.Errorf("of %q: %q, want %q", output, got, want)
		}
	}
}

// TestSignals: a killed process is the machine's fault, unless the output says more; another signal explains itself.
func TestSignals(t *testing.T) {
	t.Parallel()
	if got := read("working").Find(-1, "killed"); got.Blame != failure.Machine || got.Rule != "killed" {
		t.Errorf("killed: %+v", got)
	}
	if got := read("working").Find(137, ""); got.Rule != "killed" {
		t.Errorf("exit code 137: %+v", got)
	}
	if got := read("write failed: No space left on device").Find(137, ""); got.Rule != "disk-full" || !got.Elsewhere {
		t.Errorf("killed, and the disk is full: %+v", got)
	}
	if got := read("working").Find(-1, "terminated").String(); got != "" {
		t.Errorf("terminated: %q", got)
	}
}

// TestBound: the text is bounded however long the output's parts are, and is one line.
func TestBound(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 2000)
	for _, output := range []string{
		"CommandError: " + long, "Unable to resolve module " + long + " from /a/" + long + ".js:", "* What went wrong:\n" + long + "\n> " + long, long, "error: " + long,
	} {
		if got := read(output).Find(1, "").String(); len(got) > 650 || strings.Contains(got, "\n") {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	}
}

// TestRankBeforeOrder: a compiler's error ranks above the summaries around it, wherever it stands; of two summaries the later one counts.
func TestRankBeforeOrder(t *testing.T) {
	t.Parallel()
	noise := strings.Repeat("> Task :x:y UP-TO-DATE\n", 5000)
	got := read("e: file:///builds/x/project/a/M.kt:7:21 Unresolved reference: Thing\n"+noise+
		"* What went wrong:\nExecution failed for task ':a:compile'.\n> Compilation error.\n\n* Try:\n").Find(1, "")
	if got.Rule != "kotlin" || got.Where != "a/M.kt:7:21" || got.Line != 1 {
		t.Errorf("got %+v", got)
	}
	// What was tolerated before the failure is not its cause.
	got = read("CommandError: tolerated\nCommandError: tolerated\n"+noise+"  ERR_PNPM_NO_LOCKFILE  Cannot install\n").Find(1, "")
	if got.Rule != "pnpm-no-lock" {
		t.Errorf("got %+v", got)
	}
}

// TestSurvivedErrors: an exception or a connection that failed long before the end is not the cause.
func TestSurvivedErrors(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("> Task :x:y UP-TO-DATE\n", 1000)
	for _, early := range []string{
		"Error: connect ECONNREFUSED 127.0.0.1:8081", "Error: no cache yet\n    at Object.<anonymous> (/builds/x/project/a.js:1:7)", "getaddrinfo EAI_AGAIN registry.npmjs.org",
	} {
		if got := read(early+"\n"+many+"and then it ended").Find(1, ""); got.Known() {
			t.Errorf("%q long before the end: %s", early, got)
		}
		if got := read("so far\n"+early+"\nit ended").Find(1, ""); !got.Known() {
			t.Errorf("%q near the end: %s", early, got)
		}
	}
}

// TestMemoryIsBounded: a flood of errors keeps one hit.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	f := failure.NewFinder("/w")
	for i := range 100_000 {
		f.Line("error", fmt.Sprintf("/w/M%d.swift:1:2: error: cannot find 'x' in scope", i))
	}
	if got := f.Find(65, ""); got.Where != "M0.swift:1:2" || got.Line != 1 {
		t.Errorf("got %+v", got)
	}
}

// FuzzFinder: whatever a command prints, the cause is one bounded line.
func FuzzFinder(f *testing.F) {
	f.Add("\x1b[31me: file:///a.kt:1:2 x\x1b[0m\n* What went wrong:\n> y\n")
	f.Add("➤ YN0000: │ x STDERR \nSyntaxError: [a]{b}\n    at node:internal\n")
	f.Fuzz(func(t *testing.T, output string) {
		if got := read(output).Find(1, "").String(); len(got) > 700 || strings.ContainsAny(got, "\n\r") {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	})
}
