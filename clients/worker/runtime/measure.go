package runtime

import "github.com/expo-free-agent/freeagent/clients/worker/process"

// Measurer is a Workspace that measures what its build uses. Unlike the other methods, Usage may be called while Run runs.
type Measurer interface {
	Usage() (process.Usage, error)
}
