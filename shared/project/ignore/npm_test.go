package ignore_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/project/ignore"
)

// TestNPMIsThePackages compares with what the package said of random rules; testdata/record.js made
// the record.
func TestNPMIsThePackages(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/npm.json")
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Names []string
		Cases []struct {
			Rules   string
			Ignored []string
			Error   bool
		}
	}
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	for _, c := range record.Cases {
		rules, err := ignore.ParseNPM([]byte(c.Rules))
		if (err != nil) != c.Error {
			t.Errorf("ParseNPM(%q) = %v, want an error: %v", c.Rules, err, c.Error)
		}
		if err != nil {
			continue
		}
		for _, name := range record.Names {
			got, err := rules.Ignores(name)
			if want := slices.Contains(c.Ignored, name); err != nil || got != want {
				t.Errorf("rules %q, %q: ignored = %v, %v, want %v", c.Rules, name, got, err, want)
			}
		}
	}
}

// Rules that would take the engine minutes are errors.
func TestNPMIsBounded(t *testing.T) {
	t.Parallel()
	if _, err := ignore.ParseNPM([]byte("a\n" + strings.Repeat("a", 20_000))); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("ParseNPM of a long rule = %v, want its line", err)
	}
	rules, err := ignore.ParseNPM([]byte(strings.Repeat("a*", 200) + "b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rules.Ignores(strings.Repeat("a", 250)); err == nil || !strings.Contains(err.Error(), "too slow") {
		t.Errorf("Ignores by a slow rule = %v", err)
	}
}

func FuzzNPM(f *testing.F) {
	f.Add("*a*[b-c]/**/?\n!x", "x/a/b/c")
	f.Add("\ufeff[[:alpha:]]\\", "a")
	f.Fuzz(func(_ *testing.T, rules, name string) {
		if len(rules) > 2000 || len(name) > 1000 {
			return // slow, and no other code is reached
		}
		// Some files have no meaning, and a rule may take too long; neither may stop the program.
		if n, err := ignore.ParseNPM([]byte(rules)); err == nil {
			n.Ignores(name) //nolint:errcheck // see above
		}
	})
}
