package runtime

import "github.com/expo-free-agent/freeagent/clients/worker/process"

// Measurer is a Workspace that can say what its build uses. Unlike the rest of a Workspace, Usage may be called while Run runs.
type Measurer interface {
	Usage() (process.Usage, error)
}
