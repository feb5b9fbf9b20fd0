package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// waitingEvery is how late an alert may be.
const waitingEvery = 5 * time.Second

// waitAlerts emits an event, once, for each build that has waited for long.
type waitAlerts struct{ *Scheduler }

// run looks for such builds until ctx ends.
func (w waitAlerts) run(ctx context.Context) error {
	return backoff.Loop{Doing: "alert of waiting builds", Every: waitingEvery, AtOnce: true, Log: w.log}.Run(ctx, w.alert)
}

func (w waitAlerts) alert(ctx context.Context) error {
	least := w.rules.LeastWaitAlert()
	if least <= 0 {
		return nil
	}
	now := w.now()
	var errs []error // one build that fails does not keep the others
	all, err := w.store.LongWaiting(ctx, now.Add(-least))
	if err != nil {
		return err
	}
	for _, b := range all {
		waited, alert := now.Sub(b.SubmittedAt), w.rules.WaitAlert(b.Project)
		if alert == 0 || waited < alert {
			continue
		}
		f, err := w.dispatch.Forecast(ctx)
		if err != nil {
			return err
		}
		if err := w.alertBuild(ctx, b, waited, w.dispatch.Standing(f, b).Reason); err != nil {
			errs = append(errs, fmt.Errorf("build %s: %w", b.ID, err))
		}
	}
	return errors.Join(errs...)
}

func (w waitAlerts) alertBuild(ctx context.Context, b store.Build, waited time.Duration, reason string) error {
	marked := false
	err := w.store.Update(ctx, func(tx *store.Tx) (err error) {
		if marked, err = tx.MarkWaitAlert(ctx, b.ID); err != nil || !marked {
			return err
		}
		at := w.now()
		c := transition.NewChange(b, at)
		err = c.Emit(ctx, bus.Waiting, &eventsv1.BuildWaiting{
			BuildId: b.ID, Project: b.Project, Platform: string(b.Platform), Pool: b.Pool,
			SubmittedAtMs: b.SubmittedAt.UnixMilli(), AtMs: at.UnixMilli(), Reason: reason,
		})
		if err == nil {
			err = c.Log(ctx, "warn", fmt.Sprintf("Waiting for %s: %s", waited.Round(time.Second), reason))
		}
		if err != nil {
			return err
		}
		return c.Send(ctx, tx)
	})
	if err == nil && marked {
		w.log.WarnContext(ctx, "build has waited for long", "build_id", b.ID, "project", b.Project, "waited", waited.Round(time.Second), "why", reason)
	}
	return err
}
