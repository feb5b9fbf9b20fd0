package artifact

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/objects"
)

const (
	// intactSample is how many of the oldest and of the newest kept objects are checked at the start.
	intactSample = 8
	// acceptedKey names an object that marks an empty bucket as accepted.
	acceptedKey = "accepted-empty"
)

// ErrNotIntact means that the object store has none of the objects that the database names.
var ErrNotIntact = errors.New("the object store does not belong to the database")

// checkIntact refuses an object store that has none of the objects that the database names: the bucket does not exist or is another
// one. It checks a sample, so one damaged object is no reason. It must run before anything makes the bucket. An error other than
// ErrNotIntact means that the store did not answer.
func (s *Service) checkIntact(ctx context.Context) error {
	sample, err := s.store.KeptSample(ctx, intactSample)
	if err != nil || len(sample) == 0 {
		return err
	}
	exists, err := s.deps.Store.BucketExists(ctx)
	if err != nil {
		return fmt.Errorf("check the object store: %w", err)
	}
	missing := len(sample)
	if exists {
		if missing, err = s.countMissing(ctx, sample); err != nil {
			return fmt.Errorf("check the object store: %w", err)
		}
	}
	switch {
	case missing == 0:
		return nil
	case missing < len(sample):
		s.deps.Log.ErrorContext(ctx, "objects are missing from the object store", "looked_for", len(sample), "missing", missing,
			"cure", "restore the bucket from the backup that belongs to the database")
		return nil
	}
	if accepted, err := s.acceptedEmpty(ctx, exists); err != nil || accepted {
		return err
	}
	what := "the bucket has none of the objects that the database names"
	if !exists {
		what = "the bucket does not exist, while the database names objects in it"
	}
	if s.cfg.AcceptEmpty {
		s.deps.Log.WarnContext(ctx, "empty object store accepted", "why", what)
		return s.acceptEmpty(ctx)
	}
	return fmt.Errorf("%w: %s (looked for %d). It looks like a wrong FREEAGENT_S3_BUCKET or FREEAGENT_S3_ENDPOINT, or a restore that was not finished. "+
		"Correct the setting or restore the bucket; or start once with --accept-empty=true (FREEAGENT_ACCEPT_EMPTY=true), after which the sources, "+
		"results and logs of earlier builds are lost", ErrNotIntact, what, len(sample))
}

// countMissing returns how many of the keys have no object.
func (s *Service) countMissing(ctx context.Context, keys []string) (missing int, err error) {
	for _, key := range keys {
		_, err := s.deps.Store.Stat(ctx, key)
		if errors.Is(err, objects.ErrNotFound) {
			missing++
		} else if err != nil {
			return missing, err
		}
	}
	return missing, nil
}

func (s *Service) acceptedEmpty(ctx context.Context, exists bool) (bool, error) {
	if !exists {
		return false, nil
	}
	missing, err := s.countMissing(ctx, []string{acceptedKey})
	return missing == 0, err
}

// acceptEmpty makes the bucket and a mark in it, so that the next start needs no flag.
func (s *Service) acceptEmpty(ctx context.Context) error {
	if err := s.deps.Store.EnsureBucket(ctx); err != nil {
		return fmt.Errorf("prepare the object store: %w", err)
	}
	text := "The objects that the database named were missing when this bucket was accepted.\n"
	if _, err := s.deps.Store.Put(ctx, acceptedKey, strings.NewReader(text), int64(len(text)), 0); err != nil {
		return fmt.Errorf("note that the empty object store was accepted: %w", err)
	}
	return nil
}
