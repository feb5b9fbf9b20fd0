package submit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// submission is a submit in progress: what has arrived of the form so far.
type submission struct {
	Draft

	fields        map[string]string
	priority      int32
	supersede     bool
	modified      bool
	simulator     bool
	source, certs *eventsv1.ObjectRef
	// uploaded is the id of a source that was uploaded first. A failed submit keeps it, so that the
	// client repeats only the submit.
	uploaded string
	// responseLost means that the scheduler was asked twice, so the first request may have created
	// the build.
	responseLost bool
	// replayed means that the build existed before this submit.
	replayed bool
	signing  signingFiles
	// notes are warnings about the certificates.
	notes []string
	// reserved is nil unless the submit has an idempotency key; retryOf is the build whose source
	// it submits again.
	reserved *reservation
	// release ends the hold of this process on the submit; nil without a key. It may be called
	// twice.
	release func()
	retryOf string
	// inFlight is the row of a submit of API v1, which exists until the response is delivered.
	inFlight *store.Submit
}

// Draft is a build that may not exist yet, and the objects stored for it.
type Draft struct {
	BuildID string
	// Requested means that the scheduler was asked to submit, so the build may exist.
	Requested bool
	// objects were requested from the artifact service, whether or not their bytes have arrived.
	objects []string
}

// AddObject records an object, so that it is discarded unless a build gets it.
func (d *Draft) AddObject(objectID string) { d.objects = append(d.objects, objectID) }

// Submit reads the form as it arrives and has the scheduler acknowledge the build. replayed says
// that the build existed before. What a refused submit has stored is discarded, also if the client
// left before the acknowledgement.
func (v *Service) Submit(r *http.Request, b *httpapi.Body, d httpapi.Dialect) (resp *schedulerv1.SubmitResponse, replayed bool, err error) {
	s := &submission{Draft: Draft{BuildID: build.NewID()}, fields: map[string]string{}, signing: signingFiles{memory: v.Certs}}
	defer s.end()
	resp, err = v.receive(r, b, d, s)
	s.signing.drop()
	v.settleKey(r.Context(), s, err)
	v.Unanswered.end(r.Context(), s, err)
	if err == nil {
		v.keepObjects(r.Context(), s, resp.GetBuild())
		return resp, s.replayed, nil
	}
	v.Discard(r.Context(), &s.Draft)
	return nil, false, err
}

// end is deferred, so that repeats do not wait for a handler that panicked.
func (s *submission) end() {
	if s.release != nil {
		s.release()
	}
}

func (v *Service) receive(r *http.Request, b *httpapi.Body, d httpapi.Dialect, s *submission) (*schedulerv1.SubmitResponse, error) {
	if r.ContentLength > v.cfg.MaxUploadBytes {
		return nil, httpx.Refuse(build.ErrTooLarge, httpapi.MsgSourceLarge)
	}
	if d == httpapi.V2 {
		if err := v.reserve(r, s); err != nil {
			return nil, err
		}
	}
	if s.reserved == nil || s.reserved.original == nil {
		if err := v.Storage.Err(); err != nil { // before its files are sent, not after
			return nil, err
		}
	}
	f, err := v.openForm(r, b, d, s)
	if err != nil {
		return nil, err
	}
	if err := f.read(); err != nil {
		return nil, err
	}
	if b, err := v.submittedBefore(r, d, s); b != nil || err != nil {
		s.replayed = b != nil
		return &schedulerv1.SubmitResponse{Build: b}, err
	}
	if d == httpapi.V1 {
		if err := v.Unanswered.begin(r, s); err != nil {
			return nil, err
		}
	}
	resp, err := v.requestSubmit(r.Context(), s, &schedulerv1.SubmitRequest{
		BuildId: s.BuildID, Project: s.fields["project"], Platform: s.fields["platform"], Pool: s.fields["pool"],
		Priority: s.priority, Profile: s.fields["profile"], Source: s.source, Certs: s.certs,
		Origin: s.origin(), Supersede: s.supersede, Settings: s.settings(), Prefers: s.fields["prefers"], ReuseKey: s.reuseKey(),
	})
	if b := v.replayAfter(r.Context(), s, err); b != nil {
		s.replayed = true
		return &schedulerv1.SubmitResponse{Build: b}, nil
	}
	if s.uploaded != "" && err == nil && resp.GetReplayed() && !s.responseLost {
		return resp, v.replayUpload(r.Context(), s, resp.GetBuild())
	}
	return resp, err
}

// origin returns nil for a submit without repository, commit and branch.
func (s *submission) origin() *schedulerv1.Origin {
	o := build.Origin{Repository: s.fields["repository"], Commit: s.fields["commit"], Branch: s.fields["branch"]}
	if o == (build.Origin{}) {
		return nil
	}
	return &schedulerv1.Origin{Repository: o.Repository, Commit: o.Commit, Branch: o.Branch}
}

// reuseKey returns nil for a submit that does not say when its build may be reused.
func (s *submission) reuseKey() *schedulerv1.ReuseKey {
	if s.fields["reuse_key"] == "" {
		return nil
	}
	return &schedulerv1.ReuseKey{Key: s.fields["reuse_key"], NativeKey: s.fields["reuse_native_key"], Simulator: s.simulator}
}

// settings returns nil for a submit without settings.
func (s *submission) settings() *schedulerv1.BuildSettings {
	set := &schedulerv1.BuildSettings{
		AppPath: s.fields["app_path"], Modified: s.modified, Username: s.fields["username"], BuildNumber: s.fields["build_number"],
		Requires: s.fields["requires"], RepackFrom: s.fields["repack_from"],
	}
	if proto.Size(set) == 0 {
		return nil
	}
	return set
}

// submittedBefore stores the certs and returns the build that this submit repeats, nil if it is no
// repeat.
func (v *Service) submittedBefore(r *http.Request, d httpapi.Dialect, s *submission) (*schedulerv1.Build, error) {
	if s.fields["upload"] != "" {
		if err := v.useUpload(r.Context(), s); err != nil {
			return nil, err
		}
	}
	if err := v.storeCerts(r.Context(), s); err != nil {
		return nil, err
	}
	if b, err := v.replay(r.Context(), s); b != nil || err != nil {
		return b, err
	}
	if d == httpapi.V1 && r.Context().Err() == nil {
		return v.Unanswered.find(r, s), nil
	}
	return nil, nil // no repeat is the normal answer
}

// requestSubmit asks the scheduler to submit the build, and repeats that once when no answer comes:
// the build's id makes the repeat harmless, and without an answer nobody knows whether the build
// exists.
func (v *Service) requestSubmit(
	ctx context.Context, s *submission, req *schedulerv1.SubmitRequest,
) (*schedulerv1.SubmitResponse, error) {
	if err := ctx.Err(); err != nil { // the client disconnected without a response: submit nothing
		return nil, fmt.Errorf("submit: %w", err)
	}
	// From here on a disconnect of the client must not leave the outcome unknown.
	ctx, s.Requested = context.WithoutCancel(ctx), true
	req.Notes = slices.Concat(notesOn(req), s.notes)
	resp, err := v.Farm.Scheduler.Submit(ctx, req)
	if errors.Is(err, build.ErrUnavailable) {
		s.responseLost = true
		resp, err = v.Farm.Scheduler.Submit(ctx, req)
	}
	if errors.Is(err, build.ErrExpired) {
		s.Requested = false // the build has expired: the objects of this submit belong to no build
		return nil, v.Farm.OrExpired(ctx, s.BuildID, err)
	}
	if err != nil {
		return nil, err
	}
	v.Log.InfoContext(ctx, "build submitted", "build_id", s.BuildID, "platform", req.GetPlatform(), "size", req.GetSource().GetSize())
	return resp, nil
}

// cleanupTimeout bounds what is done after a client has left.
const cleanupTimeout = 5 * time.Second

// Discard deletes what a refused submit has stored. If that fails, the artifact service's janitor
// finds it.
func (v *Service) Discard(ctx context.Context, s *Draft) {
	if len(s.objects) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	gone, err := v.neverSubmitted(ctx, s)
	if gone {
		_, err = v.Farm.Artifact.Discard(ctx, &artifactv1.DiscardRequest{ObjectIds: s.objects})
	}
	if err != nil {
		v.Log.WarnContext(ctx, "discard upload failed", "build_id", s.BuildID, "err", err)
	}
}

// neverSubmitted reports whether the build certainly does not exist: the scheduler was not asked,
// or says so. If it does not answer, the janitor decides later.
func (v *Service) neverSubmitted(ctx context.Context, s *Draft) (bool, error) {
	if !s.Requested {
		return true, nil
	}
	_, err := v.Farm.BuildWithAttempts(ctx, s.BuildID)
	if errors.Is(err, build.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// keepObjects keeps the build's objects and discards those of a repeat. If a request is lost, the
// janitor asks the scheduler before it deletes.
func (v *Service) keepObjects(ctx context.Context, s *submission, b *schedulerv1.Build) {
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
	v.Retained.MarkRetained(keep...)
	if len(drop) > 0 {
		if _, err := v.Farm.Artifact.Discard(ctx, &artifactv1.DiscardRequest{ObjectIds: drop}); err != nil {
			v.Log.WarnContext(ctx, "discard upload failed", "build_id", b.GetId(), "err", err)
		}
	}
}
