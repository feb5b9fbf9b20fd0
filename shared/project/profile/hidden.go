package profile

import "fmt"

// HiddenFailures returns a warning for each stage whose shell hides failures: one with a pipeline under /bin/sh, which notices the failure of
// its last command only. bash says whether the machine has it.
func HiddenFailures(shell Shell, stages []Stage, bash bool) (all []string) {
	cure := fmt.Sprintf(`Set "shell": "bash -eo pipefail" in %s to fail at any.`, FileName)
	switch {
	case shell == BashIfPresent && !bash:
		cure = "Install bash on the worker to fail at any."
	case shell != Sh:
		return nil
	}
	for _, s := range stages {
		if hasPipeline(s.Run) {
			all = append(all, fmt.Sprintf("Stage %s has a pipeline: /bin/sh -e notices a failure of its last command only. %s", s.Name, cure))
		}
	}
	return all
}
