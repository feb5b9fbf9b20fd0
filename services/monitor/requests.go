package monitor

import (
	"context"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/monitor/internal/legacy"
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
	*legacy.Legacy
	expiry
}

// requestsLoop answers on fa.monitor.*.
func (m *Monitor) requestsLoop(ctx context.Context) error {
	return rpc.Run(ctx, m.nc, "monitor", version.Version, m.log, func(svc *rpc.Service) error {
		return monitorv1.RegisterMonitorServiceServer(svc, m.requests)
	})
}
