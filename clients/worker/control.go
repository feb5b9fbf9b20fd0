package worker

import (
	"context"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// obey hears orders until ctx ends. One that is lost is made up for by the next sync.
func (w *Worker) obey(ctx context.Context, c *conn) {
	sub, err := c.nc.SubscribeSync(bus.ControlSubject(c.id))
	if err != nil {
		w.log.WarnContext(ctx, "cannot hear orders on this connection", "err", err)
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
			w.log.WarnContext(ctx, "an order cannot be read", "err", err)
			continue
		}
		w.follow(ctx, &order)
	}
}

func (w *Worker) follow(ctx context.Context, order *eventsv1.Control) {
	switch o := order.GetOrder().(type) {
	case *eventsv1.Control_Cancel:
		l := lease{o.Cancel.GetBuildId(), o.Cancel.GetAttempt()}
		w.log.InfoContext(ctx, "ordered to cancel", "build_id", l.build, "attempt", l.attempt, "reason", o.Cancel.GetReason())
		w.held.drop(l, errCancelled)
	case *eventsv1.Control_Drain:
		w.log.InfoContext(ctx, "ordered to drain")
		w.Drain()
	}
}
