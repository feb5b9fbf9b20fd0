package submit

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Unanswered recognises repeats of submits of API v1, which have no idempotency key.
//
// The published client of API v1 times out a submit after 30 s and repeats it. If it disconnects
// between the scheduler's acknowledgement and the gateway's response, its build is unknown to it.
// The gateway records that: an equal submit within the retry window gets the build; without one the
// build is rolled back. An answered submit never counts as repeated.
//
// A gateway that is killed at that point cannot record anything. So each submit has a row from
// before the scheduler is asked until the response is delivered. If its holder is dead, nobody
// knows whether the submit was answered: an equal submit gets the build, and without one the build
// stays.
type Unanswered struct {
	farm  *farm.Farm
	store *store.SubmitStore
	lease *processLease
	// window is Config.SubmitRetryWindow.
	window time.Duration
	log    *slog.Logger
}

// begin records a submit of API v1 before the scheduler is asked.
func (u *Unanswered) begin(r *http.Request, s *submission) error {
	ctx := r.Context()
	keyID, err := u.store.KeyID(ctx, auth.KeyOf(r))
	if err == nil {
		sub := store.Submit{
			KeyID: keyID, SourceSHA256: s.source.GetSha256(), CertsSHA256: s.certs.GetSha256(), Platform: s.fields["platform"],
		}
		s.inFlight, s.release = &sub, u.lease.hold(s.BuildID)
		err = u.store.PutInFlight(ctx, store.InFlight{BuildID: s.BuildID, Holder: u.lease.id, Since: time.Now()}, sub)
	}
	if err != nil {
		return errors.Join(build.ErrUnavailable, err)
	}
	return nil
}

// end deletes the row of a failed submit. If the build may exist nevertheless, it records the
// submit as unanswered.
func (u *Unanswered) end(ctx context.Context, s *submission, err error) {
	if s.inFlight == nil || err == nil {
		return
	}
	if s.Requested && errors.Is(err, build.ErrUnavailable) {
		u.put(ctx, s.BuildID, *s.inFlight)
	}
	u.Forget(ctx, s.BuildID)
}

// Forget deletes the row of a submit that was answered. One that stays is harmless: this process
// ignores its own rows, and to later ones the submit may not have been answered.
func (u *Unanswered) Forget(ctx context.Context, buildID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := u.store.ForgetInFlight(ctx, buildID, u.lease.id); err != nil {
		u.log.WarnContext(ctx, "delete submit in flight failed", "build_id", buildID, "err", err)
	}
}

// inFlightWait bounds how long a submit of API v1 waits for the outcome of equal ones at other
// gateways.
const maxInFlightWait = 10 * time.Second

// inherit waits for equal submits that other processes had in flight, and returns the build of one
// whose process is dead; "" if there is none.
func (u *Unanswered) inherit(ctx context.Context, sub store.Submit) (buildID string, err error) {
	equal, err := u.store.FindInFlight(ctx, sub, u.lease.id, time.Now().Add(-u.window))
	if err != nil {
		return "", err
	}
	deadline := time.Now().Add(maxInFlightWait)
	for _, f := range equal {
		for w := u.lease.watch(f.BuildID, f.Holder, f.Since); time.Now().Before(deadline); {
			alive, err := w.isAlive(ctx)
			if err != nil {
				return "", err
			}
			if !alive {
				taken, err := u.store.TakeInFlight(ctx, f, u.lease.id, time.Now())
				if err != nil || taken {
					return f.BuildID, err
				}
				break // answered or taken meanwhile
			}
			if err := backoff.Sleep(ctx, pollInterval/5); err != nil {
				return "", err
			}
			if there, err := u.store.IsInFlight(ctx, f); err != nil || !there {
				break
			}
		}
	}
	return "", nil
}

// Add records that the submitter of a build got no response.
func (u *Unanswered) Add(r *http.Request, b *schedulerv1.Build, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), cleanupTimeout)
	defer cancel()
	u.log.InfoContext(ctx, "submit unanswered", "build_id", b.GetId(), "err", cause)
	keyID, err := u.store.KeyID(ctx, auth.KeyOf(r))
	if err != nil {
		u.log.ErrorContext(ctx, "record unanswered submit failed", "build_id", b.GetId(), "err", err)
		return
	}
	u.put(ctx, b.GetId(), submitOf(keyID, b))
}

func (u *Unanswered) put(ctx context.Context, id string, s store.Submit) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := u.store.PutUnanswered(ctx, id, s, time.Now()); err != nil {
		u.log.ErrorContext(ctx, "record unanswered submit failed", "build_id", id, "err", err)
	}
}

func submitOf(keyID string, b *schedulerv1.Build) store.Submit {
	return store.Submit{
		KeyID: keyID, SourceSHA256: b.GetSource().GetSha256(), CertsSHA256: b.GetCerts().GetSha256(), Platform: b.GetPlatform(),
	}
}

// find returns the build of an equal submit that was not answered, nil if there is none. An error
// is logged, and no reason to refuse the submit.
func (u *Unanswered) find(r *http.Request, s *submission) *schedulerv1.Build {
	ctx := r.Context()
	keyID, err := u.store.KeyID(ctx, auth.KeyOf(r))
	if err != nil {
		u.log.WarnContext(ctx, "check for an unanswered submit failed", "err", err)
		return nil
	}
	sub := submitOf(keyID, &schedulerv1.Build{Source: s.source, Certs: s.certs, Platform: s.fields["platform"]})
	id, err := u.inherit(ctx, sub)
	if err == nil && id == "" {
		id, err = u.store.TakeUnanswered(ctx, sub, u.lease.id, time.Now().Add(-u.window))
	}
	if err != nil {
		u.log.WarnContext(ctx, "check for an unanswered submit failed", "err", err)
	}
	if err != nil || id == "" {
		return nil
	}
	b, err := u.farm.Build(ctx, id)
	if errors.Is(err, build.ErrNotFound) || err == nil && build.State(b.GetState()) == build.Cancelled {
		u.Forget(ctx, id)
		return nil
	}
	if err != nil { // this request will not succeed either; the next repeat may
		u.log.WarnContext(ctx, "read unanswered build failed", "build_id", id, "err", err)
		u.put(ctx, id, sub)
		u.Forget(ctx, id)
		return nil
	}
	u.log.InfoContext(ctx, "unanswered build returned to repeated submit", "build_id", id)
	return b
}
