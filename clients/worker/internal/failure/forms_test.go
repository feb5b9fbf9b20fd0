package failure

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
)

// TestForms: messages of testdata/forms.txt, written in the form that the tools have (not run here), are found by their rules. Sections begin
// with "=== RULE"; forms.want has what is found in each.
func TestForms(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/forms.txt")
	if err != nil {
		t.Fatal(err)
	}
	var found strings.Builder
	for section := range strings.SplitSeq(strings.TrimPrefix(string(data), "=== "), "\n=== ") {
		rule, output, _ := strings.Cut(section, "\n")
		f := NewFinder("/builds/x/project")
		for _, line := range strings.Split(output, "\n") {
			f.Line(buildlog.Level(line), line)
		}
		got := f.Find(1, "")
		if got.Rule != rule {
			t.Errorf("%s: found by %q: %s", rule, got.Rule, got)
		}
		fmt.Fprintf(&found, "%s: %s: %s\n", rule, got.Blame, got)
	}
	const want = "testdata/forms.want"
	if os.Getenv("UPDATE_FORMS") != "" {
		if err := os.WriteFile(want, []byte(found.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if expected, err := os.ReadFile(want); err != nil || string(expected) != found.String() {
		t.Errorf("%v: %s is not what is found:\n%s", err, want, found.String())
	}
}

// TestEachRuleHasASample: a rule without one would rot unseen.
func TestEachRuleHasASample(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	seen := map[string]bool{}
	for _, r := range catalogue().rules {
		if seen[r.id] {
			t.Errorf("two rules are named %s", r.id)
		}
		seen[r.id] = true
		if !strings.Contains(all.String(), "\n#! rule: "+r.id+"\n") && !strings.Contains("\n"+all.String(), "\n=== "+r.id+"\n") {
			t.Errorf("rule %s has no sample", r.id)
		}
		if len(r.has) == 0 || r.cause == "" || r.rank == 0 {
			t.Errorf("rule %s is not complete", r.id)
		}
	}
}
