package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// waitingEvery is how late an alert may be.
const waitingEvery = 5 * time.Second

// waitingLoop tells of builds that wait for long, once each.
func (s *Scheduler) waitingLoop(ctx context.Context) error {
	tick := time.NewTicker(waitingEvery)
	defer tick.Stop()
	for {
		if err := s.tellWaiting(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "builds that wait for long not told, the next round tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Scheduler) tellWaiting(ctx context.Context) error {
	least := s.timeouts.least(s.cfg.WaitAlert, func(t store.Timeouts) time.Duration { return t.WaitAlert })
	if least <= 0 {
		return nil
	}
	now := s.now()
	var errs []error // one build that cannot be told of does not keep the others
	all, err := s.store.LongWaiting(ctx, now.Add(-least))
	if err != nil {
		return err
	}
	for _, b := range all {
		waited, alert := now.Sub(b.SubmittedAt), s.waitAlert(b.Project)
		if alert == 0 || waited < alert {
			continue
		}
		f, err := s.forecast(ctx)
		if err != nil {
			return err
		}
		if err := s.tellWaits(ctx, b, waited, s.standing(f, b).reason); err != nil {
			errs = append(errs, fmt.Errorf("build %s: %w", b.ID, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Scheduler) tellWaits(ctx context.Context, b store.Build, waited time.Duration, reason string) error {
	told := false
	err := s.store.Update(ctx, func(tx *store.Tx) (err error) {
		if told, err = tx.TellWaiting(ctx, b.ID); err != nil || !told {
			return err
		}
		c := change{was: b, now: b, at: s.now()}
		err = c.tell(ctx, bus.Waiting, &eventsv1.BuildWaiting{
			BuildId: b.ID, Project: b.Project, Platform: string(b.Platform), Pool: b.Pool,
			SubmittedAtMs: b.SubmittedAt.UnixMilli(), AtMs: c.at.UnixMilli(), Reason: reason,
		})
		if err == nil {
			err = c.say(ctx, "warn", fmt.Sprintf("Waiting for %s: %s", waited.Round(time.Second), reason))
		}
		if err != nil {
			return err
		}
		return tx.Emit(ctx, c.facts...)
	})
	if err == nil && told {
		s.log.WarnContext(ctx, "build waits for long", "build_id", b.ID, "project", b.Project, "waited", waited.Round(time.Second), "why", reason)
	}
	return err
}
