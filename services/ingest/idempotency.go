package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// nameHeader names a submit, so that its repeat is the same build; replayHeader marks the answer to a repeat.
	nameHeader   = "Idempotency-Key"
	replayHeader = "Idempotent-Replayed"
	// maxSubmitName is in bytes.
	maxSubmitName = 255
	// keepNames is how long a repeat is known.
	keepNames = 24 * time.Hour
	// abandoned is when a submit that is still under way must have ended with its gateway: no upload takes as long without
	// moving.
	abandoned = time.Hour
)

// named is a submit that names itself: what stands under its name, and the build that it is a repeat of, if it is one.
type named struct {
	store.Reservation

	repeats *schedulerv1.Build
}

// reserve takes the name that a submit gives itself before anything of it is stored. The build's id is fixed with it, so that
// whatever happens to this gateway, a repeat finds the build if there is one. Submits without a name are not repeats.
func (g *Ingest) reserve(r *http.Request, s *submission) error {
	name := r.Header.Get(nameHeader)
	if name == "" {
		return nil
	}
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' || len(name) > maxSubmitName {
			return refuse(build.ErrInvalid, "The %s is not 1 to %d printable characters", nameHeader, maxSubmitName)
		}
	}
	owner, err := g.ownerOf(r)
	if err != nil {
		return err
	}
	stands, err := g.store.Reserve(r.Context(), store.Reservation{Owner: owner, Name: name, BuildID: s.buildID, CreatedAt: time.Now()})
	if err != nil {
		return errors.Join(build.ErrUnavailable, err)
	}
	n := named{Reservation: stands}
	if stands.BuildID != s.buildID {
		b, err := g.briefly(r.Context(), stands.BuildID)
		switch {
		case err == nil:
			n.repeats = b
		case !errors.Is(err, build.ErrNotFound):
			return err
		case time.Since(stands.CreatedAt) < abandoned:
			return refuse(errUnderWay, "A submit with this %s is under way; ask again when it has ended", nameHeader)
		default:
			s.buildID = stands.BuildID
		}
	}
	s.named = &n
	return nil
}

// ownerOf is who may repeat a submit: the holder of the key, or of the build's token.
func (g *Ingest) ownerOf(r *http.Request) (string, error) {
	if key := keyOf(r); key != "" {
		id, err := g.store.KeyID(r.Context(), key)
		if err != nil {
			return "", errors.Join(build.ErrUnavailable, err)
		}
		return "key " + id, nil
	}
	return "token of " + r.URL.Path, nil
}

// replay gives the build of which this submit is a repeat, nil if it is none. The same name for something else is refused.
func (s *submission) replay() (*schedulerv1.Build, error) {
	if s.named == nil || s.named.repeats == nil {
		return nil, nil //nolint:nilnil // no repeat is the normal answer
	}
	if f := s.named.Fingerprint; f != "" && f != s.fingerprint() {
		return nil, refuse(errNameTaken, "The %s was used for another submit", nameHeader)
	}
	return s.named.repeats, nil
}

// fingerprint tells what is submitted from anything else.
func (s *submission) fingerprint() string {
	data, err := json.Marshal([]any{s.fields, s.retryOf, s.source.GetSha256(), s.certs.GetSha256()})
	if err != nil { // strings always marshal
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// settle ends a named submit: it has become its build, or nothing. When nobody knows, it stays under way until a repeat asks.
func (g *Ingest) settle(ctx context.Context, s *submission, err error) {
	if s.named == nil || s.named.repeats != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	switch {
	case err == nil:
		err = g.store.Settle(ctx, s.named.Reservation, s.fingerprint())
	case s.asked && errors.Is(err, build.ErrUnavailable):
		return
	default:
		err = g.store.Release(ctx, s.named.Reservation)
	}
	if err != nil {
		g.log.WarnContext(ctx, "idempotency key not settled", "build_id", s.buildID, "err", err)
	}
}

// sweepLoop forgets old names, sizes of logs and sessions until ctx ends.
func (g *Ingest) sweepLoop(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := g.store.SweepReservations(ctx, time.Now().Add(-keepNames)); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old idempotency keys not deleted, the next round tries again", "err", err)
		}
		if err := g.store.SweepLogSizes(ctx, time.Now().Add(-keepLogSizes)); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old sizes of logs not deleted, the next round tries again", "err", err)
		}
		if err := g.store.SweepSessions(ctx, time.Now()); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old sessions not deleted, the next round tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
