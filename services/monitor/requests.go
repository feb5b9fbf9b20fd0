package monitor

import (
	"context"
	"errors"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/reports"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/stats"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/telemetry"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// requests implements monitorv1.MonitorServiceServer.
type requests struct {
	*telemetry.Collector
	*stats.Counter
	*reports.Reports
	expiry
}

// legacyServer is a Monitor that is built with legacy.go.
type legacyServer interface{ serveLegacy(natsrpc.Registrar) error }

// requestsLoop answers on fa.monitor.*.
func (m *Monitor) requestsLoop(ctx context.Context) error {
	return rpc.Run(ctx, m.nc, "monitor", version.Version, m.log, func(svc *rpc.Service) error {
		err := monitorv1.RegisterMonitorServiceServer(svc, m.requests)
		if l, ok := any(m).(legacyServer); ok {
			err = errors.Join(err, l.serveLegacy(svc))
		}
		return err
	})
}
