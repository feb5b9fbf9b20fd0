package monitor

import (
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/legacy"
)

// serveLegacy answers the requests of import and export.
func (m *Monitor) serveLegacy(r natsrpc.Registrar) error {
	return monitorv1.RegisterMonitorLegacyServiceServer(r, m.legacy())
}

func (m *Monitor) legacy() *legacy.Service { return legacy.New(m.db, m.store.Reports) }
