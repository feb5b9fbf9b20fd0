package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// The published client of API v1 gives a whole submit 30 s and sends it again if they pass. When it leaves between the
// scheduler's acknowledgement and our answer, there is a build that nobody knows. It is remembered: the same submit, sent
// again in time, gets that build; else the build is rolled back. A submit that was answered is never taken for a repeat.

// deliver answers, and says if the client cannot have got the answer. Once it is written, no leaving counts: a client that
// has what it wanted closes the line, too.
func deliver(w http.ResponseWriter, r *http.Request, v any) error {
	if err := r.Context().Err(); err != nil {
		return fmt.Errorf("the client left: %w", err)
	}
	out := &checkedWriter{ResponseWriter: w}
	writeJSON(out, http.StatusOK, v)
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
	keyID, err := g.store.KeyID(ctx, keyOf(r))
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

// repeated gives the build of an equal submit that could not be answered; nil if there is none, as almost always. What
// cannot be found out is no reason to refuse a submit.
func (g *Ingest) repeated(r *http.Request, s *submission) *schedulerv1.Build {
	ctx := r.Context()
	keyID, err := g.store.KeyID(ctx, keyOf(r))
	if err != nil {
		g.log.WarnContext(ctx, "not checked whether this submit is a repeat", "err", err)
		return nil
	}
	asked := &schedulerv1.Build{Source: s.source, Certs: s.certs, Platform: s.fields["platform"]}
	id, err := g.store.TakeUnanswered(ctx, submitOf(keyID, asked), time.Now().Add(-g.cfg.RepeatWindow))
	if err != nil {
		g.log.WarnContext(ctx, "not checked whether this submit is a repeat", "err", err)
	}
	if err != nil || id == "" {
		return nil
	}
	b, err := g.briefly(ctx, id)
	if errors.Is(err, build.ErrNotFound) || err == nil && build.State(b.GetState()) == build.Cancelled {
		return nil
	}
	if err != nil { // this request will not succeed either; the next repeat may
		g.log.WarnContext(ctx, "repeated submit: its build was not found out", "build_id", id, "err", err)
		g.putUnanswered(ctx, id, submitOf(keyID, asked))
		return nil
	}
	g.log.InfoContext(ctx, "submit repeated: it gets the build that it was not told of", "build_id", id)
	return b
}
