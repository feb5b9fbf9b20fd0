package standalone_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestRulesByCommand sets rules as an administrator does, and a submit that they bound says so.
func TestRulesByCommand(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.says("rules", "project", "shop", "--weight", "20", "--max-running", "2", "--max-priority", "3")
	f.says("rules", "project", "shop", "--supersede") // the others stay
	f.says("rules", "pool", "default", "--max-running", "6")
	want := regexp.MustCompile(`(?m)^shop +20 +2 +3 +yes$`)
	if got := f.says("rules"); !want.MatchString(got) || !strings.Contains(got, "default  6") {
		t.Errorf("freeagent rules printed\n%s", got)
	}
	f.says("rules", "project", "shop", "--reset")
	f.says("rules", "pool", "default", "--reset")
	if got := f.says("rules"); strings.Contains(got, "shop") || strings.Contains(got, "POOL") {
		t.Errorf("after --reset freeagent rules printed\n%s", got)
	}
}
