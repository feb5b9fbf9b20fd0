package artifact

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Upload makes room for an object. Asked twice, it makes two: the one that gets no bytes expires.
func (s requests) Upload(ctx context.Context, req *artifactv1.UploadRequest) (*artifactv1.UploadResponse, error) {
	if err := validTarget(req.GetBuildId(), req.GetKind()); err != nil {
		return nil, err
	}
	if req.GetAttempt() < 0 || req.GetAttempt() > 0 && req.GetKind() != artifactv1.Kind_KIND_RESULT {
		return nil, refuse(build.ErrInvalid, "attempt %d of what the submitter sent", req.GetAttempt())
	}
	o := store.Object{
		BuildID: req.GetBuildId(), Attempt: req.GetAttempt(), Kind: int32(req.GetKind()), Project: req.GetProject(), Name: req.GetName(),
	}
	g, err := s.grantPut(ctx, o, ticket.Ticket{MaxBytes: s.cfg.limit(req.GetKind()), Size: -1})
	if err != nil {
		return nil, err
	}
	return &artifactv1.UploadResponse{Grant: g}, nil
}

func validTarget(buildID string, k artifactv1.Kind) error {
	if !build.ValidID(buildID) {
		return refuse(build.ErrInvalid, "build id %.80q is not valid", buildID)
	}
	if kindWord(k) == "" {
		return refuse(build.ErrInvalid, "kind of object %d is not known", int32(k))
	}
	return nil
}

// stage writes the row of an object that waits for bytes, before its first byte can arrive.
func (s *Service) stage(ctx context.Context, o store.Object) (store.Object, error) {
	o = s.staged(o)
	return o, s.rows.Stage(ctx, o)
}

func (s *Service) staged(o store.Object) store.Object {
	o.ID, o.State = build.NewID(), store.Staged
	o.Name = displayName(o.Name, kindOf(o))
	o.Prefix = keyPrefix(o)
	o.CreatedAt = s.now()
	o.ExpiresAt = o.CreatedAt.Add(s.cfg.StagedTTL)
	return o
}

func (s *Service) grantPut(ctx context.Context, o store.Object, t ticket.Ticket) (*artifactv1.Grant, error) {
	o, err := s.stage(ctx, o)
	if err != nil {
		return nil, err
	}
	t.Op = ticket.Put
	return s.grant(o, t)
}

func (s *Service) grant(o store.Object, t ticket.Ticket) (*artifactv1.Grant, error) {
	t.ObjectID, t.ExpiresMS = o.ID, s.now().Add(s.cfg.TicketTTL).UnixMilli()
	secret, err := s.tickets.Sign(t)
	if err != nil {
		return nil, err
	}
	g := &artifactv1.Grant{
		Method: string(t.Op), Url: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: secret},
		ExpiresAtMs: t.ExpiresMS, ObjectId: o.ID, MaxBytes: t.MaxBytes,
	}
	if o.HasBytes() {
		g.Object = ref(o)
	}
	return g, nil
}

func ref(o store.Object) *eventsv1.ObjectRef {
	return &eventsv1.ObjectRef{
		ObjectId: o.ID, Size: o.Size, Sha256: o.SHA256, Name: o.Name, ContentType: o.ContentType,
	}
}

// readable gets a row that has bytes.
func (s *Service) readable(ctx context.Context, id string) (store.Object, error) {
	o, err := s.rows.Get(ctx, id)
	if err == nil && !o.HasBytes() {
		err = fmt.Errorf("object %s is %s: %w", id, o.State, store.ErrNotFound)
	}
	return o, err
}

func (s requests) Download(ctx context.Context, req *artifactv1.DownloadRequest) (*artifactv1.DownloadResponse, error) {
	g, err := s.grantGet(ctx, req.GetObjectId(), "")
	if err != nil {
		return nil, err
	}
	return &artifactv1.DownloadResponse{Grant: g}, nil
}

// grantGet lets an object be read; a buildID that is not empty must be the object's.
func (s *Service) grantGet(ctx context.Context, id, buildID string) (*artifactv1.Grant, error) {
	o, err := s.readable(ctx, id)
	if err != nil {
		return nil, err
	}
	if buildID != "" && o.BuildID != buildID {
		return nil, refuse(build.ErrObjectNotFound, "the build has no such object")
	}
	return s.grant(o, ticket.Ticket{Op: ticket.Get, Size: o.Size, SHA256: o.SHA256})
}

// Grant serves the holder of a lease, and nobody else.
func (s requests) Grant(
	ctx context.Context, worker string, req *artifactv1.WorkerGrantRequest,
) (*artifactv1.WorkerGrantResponse, error) {
	if err := s.validGrant(worker, req); err != nil {
		return nil, err
	}
	b, err := s.checkLease(ctx, worker, req)
	if err != nil {
		return nil, err
	}
	var g *artifactv1.Grant
	if req.GetKind() == artifactv1.Kind_KIND_SOURCE {
		g, err = s.grantGet(ctx, b.GetSource().GetObjectId(), b.GetId())
	} else {
		g, err = s.grantResult(ctx, b, req)
	}
	if err != nil {
		return nil, err
	}
	return &artifactv1.WorkerGrantResponse{Grant: g}, nil
}

func (s *Service) validGrant(worker string, req *artifactv1.WorkerGrantRequest) error {
	if err := validTarget(req.GetBuildId(), req.GetKind()); err != nil {
		return err
	}
	switch {
	case req.GetWorkerId() != "" && req.GetWorkerId() != worker:
		return refuse(build.ErrInvalid, "worker %s asks in the name of another", worker)
	case req.GetKind() == artifactv1.Kind_KIND_CERTS:
		return refuse(build.ErrInvalid, "workers do not get certs this way yet")
	case req.GetKind() == artifactv1.Kind_KIND_LOG:
		return refuse(build.ErrInvalid, "workers send logs over the bus")
	case req.GetKind() == artifactv1.Kind_KIND_SOURCE:
		return nil
	case req.GetSize() <= 0 || !validSHA256(req.GetSha256()):
		return refuse(build.ErrInvalid, "a result needs its size in bytes and its SHA-256 in lower-case hexadecimal")
	case req.GetSize() > s.cfg.MaxResultBytes:
		return tooLarge(artifactv1.Kind_KIND_RESULT, s.cfg.MaxResultBytes)
	}
	return nil
}

func validSHA256(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == 32 && text == strings.ToLower(text)
}

func (s *Service) checkLease(
	ctx context.Context, worker string, req *artifactv1.WorkerGrantRequest,
) (*schedulerv1.Build, error) {
	resp, err := s.scheduler().CheckLease(ctx, &schedulerv1.CheckLeaseRequest{
		WorkerId: worker, BuildId: req.GetBuildId(), Attempt: req.GetAttempt(),
	})
	if err != nil {
		return nil, fmt.Errorf("check the lease: %w", err)
	}
	return resp.GetBuild(), nil
}

func (s *Service) grantResult(
	ctx context.Context, b *schedulerv1.Build, req *artifactv1.WorkerGrantRequest,
) (*artifactv1.Grant, error) {
	o := store.Object{
		BuildID: req.GetBuildId(), Attempt: req.GetAttempt(), Kind: int32(req.GetKind()),
		Project: b.GetProject(), Name: req.GetName(),
	}
	return s.grantPut(ctx, o, ticket.Ticket{MaxBytes: req.GetSize(), Size: req.GetSize(), SHA256: req.GetSha256()})
}
