package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
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
func (g *Ingest) putInFlight(r *http.Request, s *submission) error {
	ctx := r.Context()
	keyID, err := g.store.KeyID(ctx, auth.KeyOf(r))
	if err == nil {
		sub := store.Submit{
			KeyID: keyID, SourceSHA256: s.source.GetSha256(), CertsSHA256: s.certs.GetSha256(), Platform: s.fields["platform"],
		}
		s.inFlight, s.leave = &sub, g.presence.enter(s.buildID)
		err = g.store.PutInFlight(ctx, store.InFlight{BuildID: s.buildID, Holder: g.presence.id, Since: time.Now()}, sub)
	}
	if err != nil {
		return errors.Join(build.ErrUnavailable, err)
	}
	return nil
}

// settleInFlight ends the row of a submit that failed. If the build may exist nevertheless, its submitter does not know it.
func (g *Ingest) settleInFlight(ctx context.Context, s *submission, err error) {
	if s.inFlight == nil || err == nil {
		return
	}
	if s.asked && errors.Is(err, build.ErrUnavailable) {
		g.putUnanswered(ctx, s.buildID, *s.inFlight)
	}
	g.forgetInFlight(ctx, s.buildID)
}

// forgetInFlight deletes the row. One that stays is harmless: this process ignores its own, and later ones take it for a
// submit that may not have been answered.
func (g *Ingest) forgetInFlight(ctx context.Context, buildID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := g.store.ForgetInFlight(ctx, buildID, g.presence.id); err != nil {
		g.log.WarnContext(ctx, "submit in flight not forgotten", "build_id", buildID, "err", err)
	}
}

// inFlightWait bounds how long a submit of API v1 waits to learn what became of equal ones at other gateways.
const inFlightWait = 10 * time.Second

// inherit waits for equal submits that other processes had in flight, and returns the build of one whose process is dead; ""
// if there is none.
func (g *Ingest) inherit(ctx context.Context, sub store.Submit) (buildID string, err error) {
	equal, err := g.store.FindInFlight(ctx, sub, g.presence.id, time.Now().Add(-g.cfg.RepeatWindow))
	if err != nil {
		return "", err
	}
	deadline := time.Now().Add(inFlightWait)
	for _, f := range equal {
		for w := g.presence.watch(f.BuildID, f.Holder, f.Since); time.Now().Before(deadline); {
			alive, err := w.alive(ctx)
			if err != nil {
				return "", err
			}
			if !alive {
				taken, err := g.store.TakeInFlight(ctx, f, g.presence.id, time.Now())
				if err != nil || taken {
					return f.BuildID, err
				}
				break // answered or taken meanwhile
			}
			if err := pause(ctx, lookEvery/5); err != nil {
				return "", err
			}
			if there, err := g.store.IsInFlight(ctx, f); err != nil || !there {
				break
			}
		}
	}
	return "", nil
}

// deliver answers, and says if the client cannot have got the answer. Once it is written, no leaving counts: a client that
// has what it wanted closes the line, too.
func deliver(w http.ResponseWriter, r *http.Request, v any) error {
	if err := r.Context().Err(); err != nil {
		return fmt.Errorf("the client left: %w", err)
	}
	out := &checkedWriter{ResponseWriter: w}
	httpapi.WriteJSON(out, http.StatusOK, v)
	if out.err != nil {
		return fmt.Errorf("write the answer: %w", out.err)
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// checkedWriter remembers that a write failed.
type checkedWriter struct {
	http.ResponseWriter
	err error
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.err = errors.Join(c.err, err)
	return n, err //nolint:wrapcheck // a pass-through
}

// unanswered remembers that the submitter does not know its build.
func (g *Ingest) unanswered(r *http.Request, b *schedulerv1.Build, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), cleanupTimeout)
	defer cancel()
	g.log.InfoContext(ctx, "submit could not be answered", "build_id", b.GetId(), "err", cause)
	keyID, err := g.store.KeyID(ctx, auth.KeyOf(r))
	if err != nil {
		g.log.ErrorContext(ctx, "unanswered submit not remembered: nobody knows this build", "build_id", b.GetId(), "err", err)
		return
	}
	g.putUnanswered(ctx, b.GetId(), submitOf(keyID, b))
}

func (g *Ingest) putUnanswered(ctx context.Context, id string, s store.Submit) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if err := g.store.PutUnanswered(ctx, id, s, time.Now()); err != nil {
		g.log.ErrorContext(ctx, "unanswered submit not remembered: nobody knows this build", "build_id", id, "err", err)
	}
}

func submitOf(keyID string, b *schedulerv1.Build) store.Submit {
	return store.Submit{
		KeyID: keyID, SourceSHA256: b.GetSource().GetSha256(), CertsSHA256: b.GetCerts().GetSha256(), Platform: b.GetPlatform(),
	}
}

// repeated returns the build of an equal submit that could not be answered; nil if there is none, as almost always. What
// cannot be found out is no reason to refuse a submit.
func (g *Ingest) repeated(r *http.Request, s *submission) *schedulerv1.Build {
	ctx := r.Context()
	keyID, err := g.store.KeyID(ctx, auth.KeyOf(r))
	if err != nil {
		g.log.WarnContext(ctx, "not checked whether this submit is a repeat", "err", err)
		return nil
	}
	sub := submitOf(keyID, &schedulerv1.Build{Source: s.source, Certs: s.certs, Platform: s.fields["platform"]})
	id, err := g.inherit(ctx, sub)
	if err == nil && id == "" {
		id, err = g.store.TakeUnanswered(ctx, sub, g.presence.id, time.Now().Add(-g.cfg.RepeatWindow))
	}
	if err != nil {
		g.log.WarnContext(ctx, "not checked whether this submit is a repeat", "err", err)
	}
	if err != nil || id == "" {
		return nil
	}
	b, err := g.farm.Build(ctx, id)
	if errors.Is(err, build.ErrNotFound) || err == nil && build.State(b.GetState()) == build.Cancelled {
		g.forgetInFlight(ctx, id)
		return nil
	}
	if err != nil { // this request will not succeed either; the next repeat may
		g.log.WarnContext(ctx, "repeated submit: its build was not found out", "build_id", id, "err", err)
		g.putUnanswered(ctx, id, sub)
		g.forgetInFlight(ctx, id)
		return nil
	}
	g.log.InfoContext(ctx, "submit repeated: it gets the build that it was not told of", "build_id", id)
	return b
}
