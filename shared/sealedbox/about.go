package sealedbox

import "strconv"

// AboutSet returns what the value of a variable is about on its way from a gateway to the artifact service.
func AboutSet(project, name string) []string { return []string{"set", project, name} }

// AboutBuild returns what variables are about on their way from the artifact service to the worker that holds an attempt.
func AboutBuild(buildID string, attempt int32, environment string) []string {
	return []string{"build", buildID, strconv.Itoa(int(attempt)), environment}
}
