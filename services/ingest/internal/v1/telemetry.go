package v1

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// telemetryEvent is an event of the monitor in a VM. Type determines the form of Data.
type telemetryEvent struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

type postedMetrics struct {
	CPU       *float64 `json:"cpu_percent"`
	Memory    *float64 `json:"memory_mb"`
	Disk      *float64 `json:"disk_percent"`
	Processes *int64   `json:"processes"`
}

// handleTelemetry processes an event.
func (h workers) handleTelemetry(r *http.Request, b *schedulerv1.Build, e telemetryEvent) error {
	switch e.Type {
	case "monitor_started":
		return h.addLines(r, b, []*eventsv1.LogLine{line("info", "[VM] Monitor started")})
	case "heartbeat":
		var data struct {
			Stage   string        `json:"stage"`
			Uptime  float64       `json:"uptime_seconds"`
			Metrics postedMetrics `json:"metrics"`
		}
		if json.Unmarshal(e.Data, &data) != nil {
			return h.Farm.ReportStage(r.Context(), b, "")
		}
		if data.Stage != "" {
			// For people only: the scripts always say "initializing". The stage comes from their
			// log lines.
			if err := h.addLines(r, b, []*eventsv1.LogLine{line("debug", "[VM] Stage: "+text.Line(text.Cut(data.Stage, maxName)))}); err != nil {
				return err
			}
		}
		return h.publishSample(r, b, data.Metrics, int64(data.Uptime))
	case "cpu_snapshot":
		var data postedMetrics
		if json.Unmarshal(e.Data, &data) != nil {
			return h.Farm.ReportStage(r.Context(), b, "")
		}
		return h.publishSample(r, b, data, 0)
	}
	return h.Farm.ReportStage(r.Context(), b, "")
}

// publishSample publishes a sample without waiting for the bus. When the bus is too slow, samples
// are dropped and counted. The sender gets no error: the Mac app would stop measuring after five.
// The monitor validates the values and counts what it drops.
func (h workers) publishSample(r *http.Request, b *schedulerv1.Build, m postedMetrics, uptime int64) error {
	if err := h.Farm.ReportStage(r.Context(), b, ""); err != nil {
		return err
	}
	if m == (postedMetrics{}) {
		return nil
	}
	data, err := proto.Marshal(&eventsv1.Telemetry{
		BuildId: b.GetId(), Attempt: b.GetAttempt(), WorkerId: b.GetWorkerId(), AtMs: time.Now().UnixMilli(), Stage: b.GetStage(),
		CpuPercent: m.CPU, MemoryMb: m.Memory, MemoryUnreliable: true, DiskPercent: m.Disk, Processes: m.Processes, UptimeSeconds: uptime,
	})
	if err != nil {
		return fmt.Errorf("pack a sample: %w", err)
	}
	msg := nats.NewMsg(bus.TelemetrySubject(b.GetWorkerId(), b.GetId()))
	msg.Data = data
	h.Samples.Offer(msg)
	return nil
}
