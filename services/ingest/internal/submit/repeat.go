package submit

import (
	"context"
	"errors"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// The published client of API v1 gives a whole submit 30 s and sends it again if they pass. When it leaves between the
// scheduler's acknowledgement and our answer, there is a build that nobody knows. It is remembered: the same submit, sent
// again in time, gets that build; else the build is rolled back. A submit that was answered is never taken for a repeat.
//
// A gateway that is killed at that point can remember nothing. So a row stands from before the scheduler is asked until the
// answer is delivered. When its holder is dead, nobody knows whether the submit was answered: an equal one that follows gets
// its build, and without one the build stays.

// putInFlight records a submit of API v1 before the scheduler is asked for it.
func (v *Service) putInFlight(r *http.Request, s *submission) error {
	ctx := r.Context()
	keyID, err := v.Store.KeyID(ctx, auth.KeyOf(r))
	if err == nil {
		sub := store.Submit{
			KeyID: keyID, SourceSHA256: s.source.GetSha256(), CertsSHA256: s.certs.GetSha256(), Platform: s.fields["platform"],
		}
		s.inFlight, s.leave = &sub, v.presence.enter(s.BuildID)
		err = v.Store.PutInFlight(ctx, store.InFlight{BuildID: s.BuildID, Holder: v.presence.id, Since: time.Now()}, sub)
	}
	if err != nil {
		return errors.Join(build.ErrUnavailable, err)
	}
	return nil
}

// settleInFlight ends the row of a submit that failed. If the build may exist nevertheless, its submitter does not know it.
func (v *Service) settleInFlight(ctx context.Context, s *submission, err error) {
	if s.inFlight == nil || err == nil {
		return
	}
	if s.Asked && errors.Is(err, build.ErrUnavailable) {
		v.putUnanswered(ctx, s.BuildID, *s.inFlight)
	}
	v.ForgetInFlight(ctx, s.BuildID)
}

// ForgetInFlight deletes the row. One that stays is harmless: this process ignores its own, and later ones take it for a
// submit that may not have been answered.
func (v *Service) ForgetInFlight(ctx context.Context, buildID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := v.Store.ForgetInFlight(ctx, buildID, v.presence.id); err != nil {
		v.Log.WarnContext(ctx, "submit in flight not forgotten", "build_id", buildID, "err", err)
	}
}

// inFlightWait bounds how long a submit of API v1 waits to learn what became of equal ones at other gateways.
const inFlightWait = 10 * time.Second

// inherit waits for equal submits that other processes had in flight, and returns the build of one whose process is dead; ""
// if there is none.
func (v *Service) inherit(ctx context.Context, sub store.Submit) (buildID string, err error) {
	equal, err := v.Store.FindInFlight(ctx, sub, v.presence.id, time.Now().Add(-v.cfg.RepeatWindow))
	if err != nil {
		return "", err
	}
	deadline := time.Now().Add(inFlightWait)
	for _, f := range equal {
		for w := v.presence.watch(f.BuildID, f.Holder, f.Since); time.Now().Before(deadline); {
			alive, err := w.alive(ctx)
			if err != nil {
				return "", err
			}
			if !alive {
				taken, err := v.Store.TakeInFlight(ctx, f, v.presence.id, time.Now())
				if err != nil || taken {
					return f.BuildID, err
				}
				break // answered or taken meanwhile
			}
			if err := backoff.Sleep(ctx, lookEvery/5); err != nil {
				return "", err
			}
			if there, err := v.Store.IsInFlight(ctx, f); err != nil || !there {
				break
			}
		}
	}
	return "", nil
}

// Unanswered remembers that the submitter does not know its build.
func (v *Service) Unanswered(r *http.Request, b *schedulerv1.Build, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), cleanupTimeout)
	defer cancel()
	v.Log.InfoContext(ctx, "submit could not be answered", "build_id", b.GetId(), "err", cause)
	keyID, err := v.Store.KeyID(ctx, auth.KeyOf(r))
	if err != nil {
		v.Log.ErrorContext(ctx, "unanswered submit not remembered: nobody knows this build", "build_id", b.GetId(), "err", err)
		return
	}
	v.putUnanswered(ctx, b.GetId(), submitOf(keyID, b))
}

func (v *Service) putUnanswered(ctx context.Context, id string, s store.Submit) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := v.Store.PutUnanswered(ctx, id, s, time.Now()); err != nil {
		v.Log.ErrorContext(ctx, "unanswered submit not remembered: nobody knows this build", "build_id", id, "err", err)
	}
}

func submitOf(keyID string, b *schedulerv1.Build) store.Submit {
	return store.Submit{
		KeyID: keyID, SourceSHA256: b.GetSource().GetSha256(), CertsSHA256: b.GetCerts().GetSha256(), Platform: b.GetPlatform(),
	}
}

// repeated returns the build of an equal submit that could not be answered; nil if there is none, as almost always. What
// cannot be found out is no reason to refuse a submit.
func (v *Service) repeated(r *http.Request, s *submission) *schedulerv1.Build {
	ctx := r.Context()
	keyID, err := v.Store.KeyID(ctx, auth.KeyOf(r))
	if err != nil {
		v.Log.WarnContext(ctx, "not checked whether this submit is a repeat", "err", err)
		return nil
	}
	sub := submitOf(keyID, &schedulerv1.Build{Source: s.source, Certs: s.certs, Platform: s.fields["platform"]})
	id, err := v.inherit(ctx, sub)
	if err == nil && id == "" {
		id, err = v.Store.TakeUnanswered(ctx, sub, v.presence.id, time.Now().Add(-v.cfg.RepeatWindow))
	}
	if err != nil {
		v.Log.WarnContext(ctx, "not checked whether this submit is a repeat", "err", err)
	}
	if err != nil || id == "" {
		return nil
	}
	b, err := v.Farm.Build(ctx, id)
	if errors.Is(err, build.ErrNotFound) || err == nil && build.State(b.GetState()) == build.Cancelled {
		v.ForgetInFlight(ctx, id)
		return nil
	}
	if err != nil { // this request will not succeed either; the next repeat may
		v.Log.WarnContext(ctx, "repeated submit: its build was not found out", "build_id", id, "err", err)
		v.putUnanswered(ctx, id, sub)
		v.ForgetInFlight(ctx, id)
		return nil
	}
	v.Log.InfoContext(ctx, "submit repeated: it gets the build that it was not told of", "build_id", id)
	return b
}
