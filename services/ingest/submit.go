package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// submission is a submit in the making: what has arrived of the form so far.
type submission struct {
	buildID       string
	fields        map[string]string
	priority      int32
	supersede     bool
	source, certs *eventsv1.ObjectRef
	// objects were asked for, whether or not their bytes have arrived.
	objects []string
	// uploaded is the source if it was uploaded before. A refused submit leaves it, so that only the submit is repeated.
	uploaded string
	// replayed: the build existed before this submit.
	replayed bool
	signing  signingFiles
	// named is nil unless the submit has an idempotency key; retryOf is what it repeats the source of.
	named *named
	// leave ends that this process works on the submit; nil without a key. It may be called twice.
	leave   func()
	retryOf string
	// inFlight is the row of a submit of API v1 that stands until the answer is delivered.
	inFlight *store.Submit
	// asked: the scheduler was, so the build may exist whatever it answered.
	asked bool
}

// submit reads the form as it arrives and has the scheduler acknowledge the build. It answers a refusal itself, and gives
// nil then; whatever was stored is discarded, also when the client left before the acknowledgement.
func (g *Ingest) submit(w http.ResponseWriter, r *http.Request, say httpapi.Dialect) *schedulerv1.SubmitResponse {
	b := httpapi.NewBody(w, r, g.cfg.MaxUploadBytes)
	b.EnableFullDuplex()
	s := &submission{buildID: build.NewID(), fields: map[string]string{}, signing: signingFiles{memory: g.certs}}
	defer s.end()
	resp, err := g.takeIn(r, b, say, s)
	s.signing.drop()
	g.settle(r.Context(), s, err)
	g.settleInFlight(r.Context(), s, err)
	if err == nil {
		if s.replayed {
			w.Header().Set(replayHeader, "true")
		}
		g.conclude(r.Context(), s, resp.GetBuild())
		return resp
	}
	g.discard(r.Context(), s)
	if !b.Ended() { // what is left of the body would be taken for the next request
		w.Header().Set("Connection", "close")
	}
	g.Fail(w, r, say, err)
	b.Linger()
	return nil
}

// end is deferred, so that a handler that panics does not keep its repeats waiting.
func (s *submission) end() {
	if s.leave != nil {
		s.leave()
	}
}

func (g *Ingest) takeIn(r *http.Request, b *httpapi.Body, say httpapi.Dialect, s *submission) (*schedulerv1.SubmitResponse, error) {
	if r.ContentLength > g.cfg.MaxUploadBytes {
		return nil, httpapi.Refuse(build.ErrTooLarge, httpapi.MsgSourceLarge)
	}
	if say == httpapi.V2 {
		if err := g.reserve(r, s); err != nil {
			return nil, err
		}
	}
	if s.named == nil || s.named.repeats == nil {
		if err := g.storage.Err(); err != nil { // before its files are sent, not after
			return nil, err
		}
	}
	f, err := g.openForm(r, b, say, s)
	if err != nil {
		return nil, err
	}
	if err := f.read(); err != nil {
		return nil, err
	}
	if b, err := g.submittedBefore(r, say, s); b != nil || err != nil {
		s.replayed = b != nil
		return &schedulerv1.SubmitResponse{Build: b}, err
	}
	if say == httpapi.V1 {
		if err := g.putInFlight(r, s); err != nil {
			return nil, err
		}
	}
	resp, err := g.askSubmit(r.Context(), s, &schedulerv1.SubmitRequest{
		BuildId: s.buildID, Project: s.fields["project"], Platform: s.fields["platform"], Pool: s.fields["pool"],
		Priority: s.priority, Profile: s.fields["profile"], Source: s.source, Certs: s.certs,
		Origin: s.origin(), Supersede: s.supersede,
	})
	if b := g.replayAfter(r.Context(), s, err); b != nil {
		s.replayed = true
		return &schedulerv1.SubmitResponse{Build: b}, nil
	}
	return resp, err
}

// note remembers an object of the submit, so that it is discarded unless a build gets it.
func (s *submission) note(objectID string) { s.objects = append(s.objects, objectID) }

// origin is nil of a submit that says nothing of where it comes from.
func (s *submission) origin() *schedulerv1.Origin {
	o := build.Origin{Repository: s.fields["repository"], Commit: s.fields["commit"], Branch: s.fields["branch"]}
	if o == (build.Origin{}) {
		return nil
	}
	return &schedulerv1.Origin{Repository: o.Repository, Commit: o.Commit, Branch: o.Branch}
}

// submittedBefore stores the certs, and gives the build of which this submit is a repeat; nil if it is none.
func (g *Ingest) submittedBefore(r *http.Request, say httpapi.Dialect, s *submission) (*schedulerv1.Build, error) {
	if s.fields["upload"] != "" {
		if b, err := g.useUpload(r.Context(), s); b != nil || err != nil {
			return b, err
		}
	}
	if err := g.storeCerts(r.Context(), s); err != nil {
		return nil, err
	}
	if b, err := s.replay(); b != nil || err != nil {
		return b, err
	}
	if say == httpapi.V1 && r.Context().Err() == nil {
		return g.repeated(r, s), nil
	}
	return nil, nil //nolint:nilnil // no repeat is the normal answer
}

// askSubmit repeats once when the answer is unknown: the build's id makes the repeat harmless, and without an answer
// nobody could tell whether the build exists.
func (g *Ingest) askSubmit(
	ctx context.Context, s *submission, req *schedulerv1.SubmitRequest,
) (*schedulerv1.SubmitResponse, error) {
	if err := ctx.Err(); err != nil { // the client left: it was told nothing, so nothing is submitted
		return nil, fmt.Errorf("submit: %w", err)
	}
	// From here on the client's leaving must not leave the outcome unknown.
	ctx, s.asked = context.WithoutCancel(ctx), true
	req.Notes = notesOn(req)
	resp, err := g.farm.Scheduler.Submit(ctx, req)
	if errors.Is(err, build.ErrUnavailable) {
		resp, err = g.farm.Scheduler.Submit(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	g.log.InfoContext(ctx, "build submitted", "build_id", s.buildID, "platform", req.GetPlatform(), "size", req.GetSource().GetSize())
	return resp, nil
}

// cleanupTimeout bounds what is done after a client has left.
const cleanupTimeout = 5 * time.Second

// discard removes what a refused submit had stored. If the word is lost, the artifact service's janitor finds it.
func (g *Ingest) discard(ctx context.Context, s *submission) {
	if len(s.objects) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	gone, err := g.neverSubmitted(ctx, s)
	if gone {
		_, err = g.farm.Artifact.Discard(ctx, &artifactv1.DiscardRequest{ObjectIds: s.objects})
	}
	if err != nil {
		g.log.WarnContext(ctx, "upload not discarded yet", "build_id", s.buildID, "err", err)
	}
}

// neverSubmitted is certain when the scheduler was not asked, or says so itself. If it does not answer, the build may exist
// after all; then the janitor, which asks it too, is the one to decide.
func (g *Ingest) neverSubmitted(ctx context.Context, s *submission) (bool, error) {
	if !s.asked {
		return true, nil
	}
	_, err := g.farm.BuildWithAttempts(ctx, s.buildID)
	if errors.Is(err, build.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// conclude keeps what the build is made of and discards what a repeat brought once more. If a word is lost, the janitor asks
// the scheduler before it sweeps.
func (g *Ingest) conclude(ctx context.Context, s *submission, b *schedulerv1.Build) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	var keep, drop []string
	for _, id := range append(s.objects, s.uploaded) {
		switch id {
		case "":
		case b.GetSource().GetObjectId(), b.GetCerts().GetObjectId():
			keep = append(keep, id)
		default:
			drop = append(drop, id)
		}
	}
	g.keeper.Keep(keep...)
	if len(drop) > 0 {
		if _, err := g.farm.Artifact.Discard(ctx, &artifactv1.DiscardRequest{ObjectIds: drop}); err != nil {
			g.log.WarnContext(ctx, "upload not discarded yet", "build_id", b.GetId(), "err", err)
		}
	}
}

func (g *Ingest) submitted(resp *schedulerv1.SubmitResponse) api.Submitted {
	b := resp.GetBuild()
	return api.Submitted{Build: viewV2(b, nil), AccessToken: g.auth.Token(b.GetId()), Warnings: resp.GetWarnings(), Superseded: resp.GetSuperseded()}
}
