package worker

import (
	"context"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/attempt"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// receiveOrders obeys the scheduler's orders until ctx ends, and takes its offers while intake lasts. The next sync makes up for a lost
// order. Builds run within life.
func (w *Worker) receiveOrders(ctx, intake, life context.Context, c *farm.Conn) {
	sub, err := c.NATS.SubscribeSync(bus.ControlSubject(c.WorkerID))
	if err != nil {
		w.log.WarnContext(ctx, "subscribe to orders failed", "err", err)
		return
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is gone then
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return
		}
		var order eventsv1.Control
		if err := bus.Decode(m.Data, &order); err != nil {
			w.log.WarnContext(ctx, "unreadable order", "err", err)
			continue
		}
		if offer := order.GetOffer(); offer != nil {
			w.receiveOffer(intake, life, offer)
			continue
		}
		w.obey(ctx, &order)
	}
}

func (w *Worker) obey(ctx context.Context, order *eventsv1.Control) {
	switch o := order.GetOrder().(type) {
	case *eventsv1.Control_Cancel:
		l := farm.Lease{BuildID: o.Cancel.GetBuildId(), Attempt: o.Cancel.GetAttempt()}
		w.log.InfoContext(ctx, "cancel ordered", "build_id", l.BuildID, "attempt", l.Attempt, "reason", o.Cancel.GetReason())
		w.builds.Abandon(l, attempt.ErrCancelled)
	case *eventsv1.Control_Drain:
		w.log.InfoContext(ctx, "drain ordered")
		w.Drain()
	}
}
