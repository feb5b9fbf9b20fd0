package pipeline

import "fmt"

// pipelineWarnings names the stages whose shell would hide a failure: those with a pipeline under /bin/sh, which notices the failure of
// its last command only.
func pipelineWarnings(plan Plan) (all []string) {
	if plan.Shell != Sh {
		return nil
	}
	for _, s := range plan.Stages {
		if hasPipeline(s.Run) {
			all = append(all, fmt.Sprintf("Stage %s has a pipeline: /bin/sh -e notices a failure of its last command only. "+
				`Set "shell": "bash -eo pipefail" in %s to fail at any.`, s.Name, FileName))
		}
	}
	return all
}

// hasPipeline looks for a | outside of quotes and comments that is neither part of || nor of >|.
func hasPipeline(script string) bool {
	var quote, before byte
	for i := 0; i < len(script); i++ {
		c := script[i]
		switch {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '#' && (before == 0 || before == ' ' || before == '\t' || before == '\n' || before == ';'):
			for i+1 < len(script) && script[i+1] != '\n' {
				i++
			}
		case c == '|' && i+1 < len(script) && script[i+1] == '|':
			i++
		case c == '|' && before != '>':
			return true
		}
		before = c
	}
	return false
}
