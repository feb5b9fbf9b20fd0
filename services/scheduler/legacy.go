package scheduler

import (
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/legacy"
)

// serveLegacy answers the requests of import and export.
func (s *Scheduler) serveLegacy(r natsrpc.Registrar) error {
	return schedulerv1.RegisterSchedulerLegacyServiceServer(r, s.legacy())
}

func (s *Scheduler) legacy() *legacy.Service { return legacy.New(s.machine, s.registry, s.expired) }
