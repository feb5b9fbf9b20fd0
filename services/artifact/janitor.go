package artifact

import (
	"context"
	"errors"
	"fmt"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// sweepBatch bounds one pass.
const sweepBatch = 500

// sweepUntil sweeps now and then until ctx ends. A pass that fails is repeated at the next turn.
func (s *Service) sweepUntil(ctx context.Context) {
	turn := time.NewTicker(s.cfg.JanitorInterval)
	defer turn.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "expired objects stay for now", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		}
	}
}

// sweep ends what crashed processes left and judges what has expired.
func (s *Service) sweep(ctx context.Context) error {
	aborted, err := s.objects.AbortStale(ctx, s.cfg.StaleUploadAge)
	if aborted > 0 {
		s.log.InfoContext(ctx, "stale uploads aborted", "uploads", aborted)
	}
	if err != nil {
		err = fmt.Errorf("abort stale uploads: %w", err)
	}
	return errors.Join(err, s.sweepExpired(ctx), s.rows.ForgetExpired(ctx, s.now().Add(-s.cfg.ExpiredMark)))
}

// sweepExpired keeps or removes what has expired. Replicas may do so at once: each row is won by one.
func (s *Service) sweepExpired(ctx context.Context) error {
	expired, err := s.rows.Expired(ctx, s.now(), sweepBatch)
	if err != nil {
		return err
	}
	for _, o := range expired {
		if err := s.judge(ctx, o); err != nil {
			return fmt.Errorf("object %s: %w", o.ID, err)
		}
	}
	return nil
}

// judge decides over one expired object.
func (s *Service) judge(ctx context.Context, o store.Object) error {
	if o.State != store.Condemned {
		wanted, err := s.isNamed(ctx, o)
		if err != nil {
			return err
		}
		if wanted {
			return s.rescue(ctx, o)
		}
	}
	gone, err := s.condemnAndDestroy(ctx, o)
	if gone {
		s.meter.swept.Add(ctx, 1)
	}
	return err
}

// rescue keeps what a build needs although nobody said keep: its submit or finish went through, the keep was lost.
func (s *Service) rescue(ctx context.Context, o store.Object) error {
	err := s.rows.Keep(ctx, []string{o.ID})
	if isMissing(err) {
		// Named without bytes: a fault elsewhere. Nothing can be saved, and asking every minute does not help.
		s.log.ErrorContext(ctx, "a build names an object that was never uploaded", "object_id", o.ID, "build_id", o.BuildID)
		return s.rows.ExtendUpload(ctx, o.ID, s.now().Add(s.cfg.StagedTTL))
	}
	if err == nil {
		s.log.InfoContext(ctx, "object kept because its build names it", "object_id", o.ID, "build_id", o.BuildID)
	}
	return err
}

// isNamed asks the scheduler, the owner of builds, and of a log our own table; an error means that it is not known.
func (s *Service) isNamed(ctx context.Context, o store.Object) (bool, error) {
	if kindOf(o) == artifactv1.Kind_KIND_LOG {
		return s.logNamed(ctx, o)
	}
	resp, err := s.scheduler().Get(ctx, &schedulerv1.GetRequest{BuildId: o.BuildID})
	if errors.Is(err, build.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask about build %s: %w", o.BuildID, err)
	}
	b := resp.GetBuild()
	if b.GetId() != o.BuildID {
		return false, fmt.Errorf("ask about build %s: the answer is about %q", o.BuildID, b.GetId())
	}
	return o.ID == b.GetSource().GetObjectId() || o.ID == b.GetCerts().GetObjectId() || o.ID == b.GetResult().GetObjectId(), nil
}
