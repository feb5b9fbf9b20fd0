package pipeline

import "testing"

func TestHasPipeline(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]bool{
		"xcodebuild | xcpretty": true, "a |& b": true, "a\nb | c": true, "a || b | c": true, `echo "x" | cat`: true,
		"a || b": false, "echo 'a | b'": false, `echo "a | b"`: false, `echo a \| b`: false, "a >| f": false, "a # b | c": false,
		"echo a#b | cat": true, "": false,
	} {
		if got := hasPipeline(script); got != want {
			t.Errorf("hasPipeline(%q) = %v, want %v", script, got, want)
		}
	}
}

func TestPipelineWarnings(t *testing.T) {
	t.Parallel()
	plan := Plan{Shell: Sh, Stages: []Stage{{"make", "make | tee log"}, {"test", "make test"}}}
	if got := pipelineWarnings(plan); len(got) != 1 {
		t.Errorf("warnings = %q, want one", got)
	}
	plan.Shell = Bash
	if got := pipelineWarnings(plan); len(got) != 0 {
		t.Errorf("with pipefail the warnings are %q", got)
	}
}
