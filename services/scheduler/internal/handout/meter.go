package handout

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meter counts what operators should see. Without a MeterProvider it counts nowhere.
type meter struct {
	again metric.Int64Counter
}

func newMeter() (meter, error) {
	again, err := otel.Meter("github.com/expo-free-agent/freeagent/services/scheduler").Int64Counter("freeagent.scheduler.offered_again",
		metric.WithDescription("hand-outs that were put on the queue again, by reason: missing from it, or unclaimed beside free slots"))
	if err != nil {
		return meter{}, fmt.Errorf("make counter: %w", err)
	}
	return meter{again: again}, nil
}

func (m meter) offeredAgain(ctx context.Context, why string) {
	m.again.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", why)))
}
