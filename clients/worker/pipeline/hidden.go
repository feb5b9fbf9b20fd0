package pipeline

import "fmt"

// pipelineWarnings returns a warning for each stage whose shell hides failures: one with a pipeline under /bin/sh, which notices the failure of
// its last command only.
func pipelineWarnings(plan Plan, tools Toolchain) (all []string) {
	cure := fmt.Sprintf(`Set "shell": "bash -eo pipefail" in %s to fail at any.`, FileName)
	switch {
	case plan.Shell == BashIfPresent && !tools.Bash:
		cure = "Install bash on the worker to fail at any."
	case plan.Shell != Sh:
		return nil
	}
	for _, s := range plan.Stages {
		if hasPipeline(s.Run) {
			all = append(all, fmt.Sprintf("Stage %s has a pipeline: /bin/sh -e notices a failure of its last command only. %s", s.Name, cure))
		}
	}
	return all
}
