package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpserver"
)

// submission is a submit in the making: what has arrived of the form so far.
type submission struct {
	buildID       string
	source, certs *eventsv1.ObjectRef
	fields        map[string]string
}

// meansSomething names the fields that are kept; others are read and forgotten.
func meansSomething(field string) bool {
	return slices.Contains([]string{"platform", "project", "profile", "pool", "priority"}, field)
}

const (
	// maxField bounds a text field; maxParts the form.
	maxField = 64 << 10
	maxParts = 100
)

// sentences of API v1 for a form that does not fit.
const (
	sayMultipart = "Content must be multipart/form-data"
	saySource    = "Source file required"
	sayPlatform  = "Valid platform required (ios|android)"
)

// submit reads the form as it arrives, in any order, and has the scheduler acknowledge the build. Whatever was stored is
// discarded when it ends otherwise, also when the client left before the acknowledgement.
func (g *Ingest) submit(w http.ResponseWriter, r *http.Request) (*schedulerv1.SubmitResponse, error) {
	if r.ContentLength > g.cfg.MaxUploadBytes {
		return nil, fmt.Errorf("%w: Source file too large", build.ErrTooLarge)
	}
	r.Body = http.MaxBytesReader(w, r.Body, g.cfg.MaxUploadBytes)
	form, err := multipartReader(w, r)
	if err != nil {
		return nil, err
	}
	s := &submission{buildID: build.NewID(), fields: map[string]string{}}
	if err := g.readForm(r, s, form); err != nil {
		g.discard(r.Context(), s)
		return nil, err
	}
	resp, err := g.acknowledge(r.Context(), s)
	if err != nil {
		g.discard(r.Context(), s)
		return nil, err
	}
	g.keep(r.Context(), resp.GetBuild())
	return resp, nil
}

func multipartReader(w http.ResponseWriter, r *http.Request) (*multipart.Reader, error) {
	r.Body = io.NopCloser(httpserver.Stall(w, r.Body))
	form, err := r.MultipartReader()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", build.ErrInvalid, sayMultipart)
	}
	return form, nil
}

func (g *Ingest) readForm(r *http.Request, s *submission, form *multipart.Reader) error {
	for range maxParts {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return s.complete()
		}
		if err != nil {
			return brokenForm(err)
		}
		if err := g.readPart(r, s, part); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the form has more than %d parts", build.ErrInvalid, maxParts)
}

// brokenForm tells a form that is too large from one that ends early.
func brokenForm(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return fmt.Errorf("%w: Source file too large", build.ErrTooLarge)
	}
	return fmt.Errorf("%w: the form ends early or is broken", build.ErrInvalid)
}

func (g *Ingest) readPart(r *http.Request, s *submission, part *multipart.Part) (err error) {
	switch name := part.FormName(); {
	case name == "source" && part.FileName() != "" && s.source == nil:
		s.source, err = g.storePart(r, s, artifactv1.Kind_KIND_SOURCE, part, "Source")
	case name == "certs" && part.FileName() != "" && s.certs == nil:
		s.certs, err = g.storePart(r, s, artifactv1.Kind_KIND_CERTS, part, "Certs")
	case meansSomething(name) && part.FileName() == "":
		var value []byte
		if value, err = io.ReadAll(io.LimitReader(part, maxField+1)); err == nil && len(value) > maxField {
			return fmt.Errorf("%w: field %s is longer than %d bytes", build.ErrInvalid, name, maxField)
		}
		s.fields[name] = string(value)
	default:
		_, err = io.Copy(io.Discard, part)
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) || errors.Is(err, io.ErrUnexpectedEOF) {
		return brokenForm(err)
	}
	return err
}

// storePart streams a file to the artifact service as it arrives.
func (g *Ingest) storePart(
	r *http.Request, s *submission, kind artifactv1.Kind, part *multipart.Part, what string,
) (*eventsv1.ObjectRef, error) {
	ref, err := g.upload(r.Context(), &artifactv1.UploadRequest{
		BuildId: s.buildID, Kind: kind, Project: s.fields["project"], Name: part.FileName(),
	}, part)
	if errors.Is(err, build.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %s file too large", build.ErrTooLarge, what)
	}
	return ref, err
}

func (s *submission) complete() error {
	if s.source == nil {
		return fmt.Errorf("%w: %s", build.ErrInvalid, saySource)
	}
	if _, err := build.ParsePlatform(s.fields["platform"]); err != nil {
		return fmt.Errorf("%w: %s", build.ErrInvalid, sayPlatform)
	}
	if p := s.fields["priority"]; p != "" {
		if _, err := strconv.ParseInt(p, 10, 32); err != nil {
			return fmt.Errorf("%w: priority %.20q is not a whole number", build.ErrInvalid, p)
		}
	}
	return nil
}

func (g *Ingest) acknowledge(ctx context.Context, s *submission) (*schedulerv1.SubmitResponse, error) {
	priority, _ := strconv.ParseInt(s.fields["priority"], 10, 32) // checked by complete; empty is 0
	return g.askSubmit(ctx, &schedulerv1.SubmitRequest{
		BuildId: s.buildID, Project: s.fields["project"], Platform: s.fields["platform"], Pool: s.fields["pool"],
		Priority: int32(priority), Profile: s.fields["profile"], Source: s.source, Certs: s.certs,
	})
}

// askSubmit repeats once when the answer is unknown: the build's id makes the repeat harmless, and without an answer
// nobody could tell whether the build exists.
func (g *Ingest) askSubmit(ctx context.Context, req *schedulerv1.SubmitRequest) (*schedulerv1.SubmitResponse, error) {
	if err := ctx.Err(); err != nil { // the client left: it was told nothing, so nothing is submitted
		return nil, fmt.Errorf("submit: %w", err)
	}
	// From here on the client's leaving must not leave the outcome unknown.
	ctx = context.WithoutCancel(ctx)
	var resp schedulerv1.SubmitResponse
	err := g.ask(ctx, "scheduler", "submit", req, &resp)
	if errors.Is(err, build.ErrUnavailable) {
		err = g.ask(ctx, "scheduler", "submit", req, &resp)
	}
	return &resp, err
}

// cleanupTimeout bounds what is done after a client has left.
const cleanupTimeout = 10 * time.Second

// discard removes what a refused submit had stored. If the word is lost, the artifact service's janitor finds it. When the
// scheduler did not answer, the build may exist after all: then the janitor, which asks it, is the one to decide.
func (g *Ingest) discard(ctx context.Context, s *submission) {
	ids := objectIDs(s.source, s.certs)
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	var found schedulerv1.GetResponse
	err := g.ask(ctx, "scheduler", "get", &schedulerv1.GetRequest{BuildId: s.buildID}, &found)
	if errors.Is(err, build.ErrNotFound) {
		err = g.ask(ctx, "artifact", "discard", &artifactv1.DiscardRequest{ObjectIds: ids}, &artifactv1.DiscardResponse{})
	}
	if err != nil {
		g.log.WarnContext(ctx, "upload not discarded yet", "request_id", requestID(ctx), "build_id", s.buildID, "err", err)
	}
}

// keep makes a build's objects permanent. If the word is lost, the janitor asks the scheduler before it sweeps.
func (g *Ingest) keep(ctx context.Context, b *schedulerv1.Build) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	req := &artifactv1.KeepRequest{ObjectIds: objectIDs(b.GetSource(), b.GetCerts())}
	if err := g.ask(ctx, "artifact", "keep", req, &artifactv1.KeepResponse{}); err != nil {
		g.log.WarnContext(ctx, "upload not marked as kept yet", "request_id", requestID(ctx), "build_id", b.GetId(), "err", err)
	}
}

func objectIDs(refs ...*eventsv1.ObjectRef) []string {
	var ids []string
	for _, r := range refs {
		if r.GetObjectId() != "" {
			ids = append(ids, r.GetObjectId())
		}
	}
	return ids
}

// retry submits a build anew from what the old one was submitted with.
func (g *Ingest) retry(ctx context.Context, oldID string) (*schedulerv1.SubmitResponse, error) {
	old, err := g.getBuild(ctx, oldID)
	if err != nil {
		return nil, err
	}
	s := &submission{buildID: build.NewID()}
	var adopted artifactv1.AdoptResponse
	err = g.ask(ctx, "artifact", "adopt", &artifactv1.AdoptRequest{FromBuildId: oldID, ToBuildId: s.buildID}, &adopted)
	if errors.Is(err, build.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w: the source of build %s is not kept any more; submit it again", build.ErrInvalid, oldID)
	}
	if err != nil {
		return nil, fmt.Errorf("take over the source of build %s: %w", oldID, err)
	}
	s.source, s.certs = adopted.GetSource(), adopted.GetCerts()
	b := old.GetBuild()
	resp, err := g.askSubmit(ctx, &schedulerv1.SubmitRequest{
		BuildId: s.buildID, Project: b.GetProject(), Platform: b.GetPlatform(), Pool: b.GetPool(), Priority: b.GetPriority(),
		Profile: b.GetProfile(), Source: s.source, Certs: s.certs, RetryOf: oldID,
	})
	if err != nil {
		g.discard(ctx, s)
		return nil, err
	}
	g.keep(ctx, resp.GetBuild())
	return resp, nil
}

func (g *Ingest) submitted(resp *schedulerv1.SubmitResponse) api.Submitted {
	b := resp.GetBuild()
	return api.Submitted{Build: viewV2(b, nil), AccessToken: g.token(b.GetId()), Warnings: resp.GetWarnings()}
}
