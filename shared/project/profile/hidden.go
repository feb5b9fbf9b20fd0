package profile

import "fmt"

// useBash is what a project can do about hidden failures.
const useBash = `Set "shell": "bash -eo pipefail" in ` + FileName + " to fail at any."

// HiddenFailures returns a warning for each stage with a pipeline, of which /bin/sh notices a failure of the last command only. cure says what
// to do.
func HiddenFailures(stages []Stage, cure string) (all []string) {
	for _, s := range stages {
		if hasPipeline(s.Run) {
			all = append(all, fmt.Sprintf("Stage %s has a pipeline: /bin/sh -e notices a failure of its last command only. %s", s.Name, cure))
		}
	}
	return all
}
