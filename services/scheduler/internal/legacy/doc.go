// Package legacy imports builds and workers of the legacy TypeScript controller, and exports them for the way back. Only files
// named legacy.go use it.
//
// A build that has ended keeps its end. One that was waiting or running goes to the queue again as attempt 2; what its worker did there
// is attempt 1. Each request is one transaction and may be repeated.
package legacy

import (
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/registry"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
)

// Service answers the requests of import and export. Make it with New; it is safe for concurrent use.
type Service struct {
	machine  *transition.Machine
	registry *registry.Registry
	expired  *retention.Store
}

// New returns a service.
func New(machine *transition.Machine, workers *registry.Registry, expired *retention.Store) *Service {
	return &Service{machine: machine, registry: workers, expired: expired}
}
