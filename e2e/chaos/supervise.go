package chaos

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
)

// supervise starts what exited, as systemd or Kubernetes do, until ctx ends; it gives what had to be started.
func supervise(ctx context.Context, c *cluster.Cluster, busy func(name string) bool, log *slog.Logger) (ended []string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ended
		case <-tick.C:
		}
		for _, p := range c.Processes() {
			if p.Running() || busy(p.Name) {
				continue
			}
			log.WarnContext(ctx, "process exited unexpectedly", "process", p.Name)
			if err := p.Start(); err == nil && !slices.Contains(ended, p.Name) {
				ended = append(ended, p.Name)
			}
		}
	}
}
