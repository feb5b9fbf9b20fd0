package profile

import "fmt"

// hiddenFailures returns a warning for each stage whose shell hides failures: one with a pipeline under /bin/sh, which notices the failure
// of its last command only.
func hiddenFailures(shell Shell, stages []Stage) (all []string) {
	if shell != Sh {
		return nil
	}
	for _, s := range stages {
		if hasPipeline(s.Run) {
			all = append(all, fmt.Sprintf("Stage %s has a pipeline: /bin/sh -e notices a failure of its last command only. "+
				`Set "shell": "bash -eo pipefail" in %s to fail at any.`, s.Name, FileName))
		}
	}
	return all
}
