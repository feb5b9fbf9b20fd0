package build_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestRequirements(t *testing.T) {
	t.Parallel()
	r, err := build.ParseRequirements("xcode=26, node=22")
	if err != nil || r != "node=22,xcode=26" {
		t.Fatalf("ParseRequirements = %q, %v", r, err)
	}
	for labels, met := range map[string]bool{
		"node=22,xcode=26":         true,
		"node=22.11.0,xcode=26.1":  true,
		"node=220,xcode=26":        false,
		"node=22":                  false,
		"node=2,xcode=26":          false,
		"node=22,xcode=26-beta":    false,
		"a=b,node=22.1,xcode=26.0": true,
	} {
		l, err := build.ParseLabels(strings.Split(labels, ","))
		if err != nil {
			t.Fatal(err)
		}
		if r.MetBy(l) != met {
			t.Errorf("%s met by %s = %v, want %v", r, labels, !met, met)
		}
	}
	if !build.Requirements("").MetBy(nil) {
		t.Error("no requirement is not met by a worker without labels")
	}
	if again := build.Require(r.Labels()); again != r {
		t.Errorf("of its labels: %q", again)
	}
}

func TestBadLabels(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"xcode", "=26", "xcode=", "x code=1", "a=b c", "a=b=c", "node=22,node=20", "k=" + strings.Repeat("v", 127), "a=\x00", "-a=b"} {
		if r, err := build.ParseRequirements(text); !errors.Is(err, build.ErrInvalid) {
			t.Errorf("ParseRequirements(%q) = %q, %v", text, r, err)
		}
	}
	var many []string
	for i := range build.MaxLabels + 1 {
		many = append(many, fmt.Sprintf("k%d=v", i))
	}
	if _, err := build.ParseLabels(many); !errors.Is(err, build.ErrInvalid) {
		t.Errorf("%d labels: %v", len(many), err)
	}
}
