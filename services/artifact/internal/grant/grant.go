package grant

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/cache"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/variables"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Grants answers requests for transfers, and signs their tickets.
type Grants struct {
	catalog   *catalog.Catalog
	tickets   *ticket.Signer
	ttl       time.Duration
	scheduler schedulerv1.SchedulerServiceClient
	variables *variables.Service
	cache     *cache.Cache
}

// New returns grants whose transfers must begin within ttl.
func New(
	c *catalog.Catalog, tickets *ticket.Signer, ttl time.Duration, scheduler schedulerv1.SchedulerServiceClient, v *variables.Service,
	shared *cache.Cache,
) *Grants {
	return &Grants{catalog: c, tickets: tickets, ttl: ttl, scheduler: scheduler, variables: v, cache: shared}
}

// Upload stages an object and returns the grant to send it. A repeat stages another one; the one that gets no bytes expires.
func (g *Grants) Upload(ctx context.Context, req *artifactv1.UploadRequest) (*artifactv1.UploadResponse, error) {
	if err := catalog.ValidTarget(req.GetBuildId(), req.GetKind()); err != nil {
		return nil, err
	}
	if req.GetAttempt() < 0 || req.GetAttempt() > 0 && req.GetKind() != artifactv1.Kind_KIND_RESULT {
		return nil, httpx.Refuse(build.ErrInvalid, "only a result has an attempt (got attempt %d)", req.GetAttempt())
	}
	o := store.Object{
		BuildID: req.GetBuildId(), Attempt: req.GetAttempt(), Kind: int32(req.GetKind()), Project: req.GetProject(), Name: req.GetName(),
	}
	out, err := g.put(ctx, o, ticket.Ticket{MaxBytes: g.catalog.Limits.Of(req.GetKind()), Size: -1})
	if err != nil {
		return nil, err
	}
	return &artifactv1.UploadResponse{Grant: out}, nil
}

func (g *Grants) put(ctx context.Context, o store.Object, t ticket.Ticket) (*artifactv1.Grant, error) {
	o, err := g.catalog.Stage(ctx, o)
	if err != nil {
		return nil, err
	}
	t.Op = ticket.Put
	return g.Sign(o, t)
}

// Sign returns a grant for an object that t allows to move.
func (g *Grants) Sign(o store.Object, t ticket.Ticket) (*artifactv1.Grant, error) {
	t.ObjectID, t.ExpiresMS = o.ID, time.Now().Add(g.ttl).UnixMilli()
	secret, err := g.tickets.Sign(t)
	if err != nil {
		return nil, err
	}
	out := &artifactv1.Grant{
		Method: string(t.Op), Url: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: secret},
		ExpiresAtMs: t.ExpiresMS, ObjectId: o.ID, MaxBytes: t.MaxBytes,
	}
	if o.HasBytes() {
		out.Object = catalog.Ref(o)
	}
	return out, nil
}

// Download returns the grant to read an object.
func (g *Grants) Download(ctx context.Context, req *artifactv1.DownloadRequest) (*artifactv1.DownloadResponse, error) {
	out, err := g.get(ctx, req.GetObjectId(), "")
	if err != nil {
		return nil, err
	}
	return &artifactv1.DownloadResponse{Grant: out}, nil
}

// get grants the reading of an object. Unless buildID is empty, the object must belong to it.
func (g *Grants) get(ctx context.Context, id, buildID string) (*artifactv1.Grant, error) {
	o, err := g.catalog.Readable(ctx, id)
	if err != nil {
		return nil, err
	}
	if buildID != "" && o.BuildID != buildID {
		return nil, httpx.Refuse(build.ErrObjectNotFound, "the build has no such object")
	}
	return g.Sign(o, ticket.Ticket{Op: ticket.Get, Size: o.Size, SHA256: o.SHA256})
}

// Grant serves the holder of a lease and no other worker.
func (g *Grants) Grant(
	ctx context.Context, worker string, req *artifactv1.WorkerGrantRequest,
) (*artifactv1.WorkerGrantResponse, error) {
	if err := g.validGrant(worker, req); err != nil {
		return nil, err
	}
	lease, err := g.checkLease(ctx, worker, req)
	if err != nil {
		return nil, err
	}
	b := lease.GetBuild()
	resp := &artifactv1.WorkerGrantResponse{}
	switch req.GetKind() {
	case artifactv1.Kind_KIND_SOURCE:
		resp.Grant, err = g.get(ctx, b.GetSource().GetObjectId(), b.GetId())
	case artifactv1.Kind_KIND_VARIABLES:
		resp.SealedVariables, resp.VariablesDigest, err = g.variables.For(ctx, b.GetProject(), req)
	case artifactv1.Kind_KIND_REPACK_SOURCE:
		resp.Grant, err = g.repackSource(ctx, lease)
	case artifactv1.Kind_KIND_CACHE:
		resp.Grant, resp.Cache, err = g.cacheGrant(ctx, b, req)
	default:
		resp.Grant, err = g.grantResult(ctx, b, req)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (g *Grants) validGrant(worker string, req *artifactv1.WorkerGrantRequest) error {
	if !readsOnly(req.GetKind()) || !build.ValidID(req.GetBuildId()) {
		if err := catalog.ValidTarget(req.GetBuildId(), req.GetKind()); err != nil {
			return err
		}
	}
	switch {
	case req.GetWorkerId() != "" && req.GetWorkerId() != worker:
		return httpx.Refuse(build.ErrInvalid, "worker %s asks for another worker", worker)
	case req.GetKind() == artifactv1.Kind_KIND_CERTS:
		return httpx.Refuse(build.ErrInvalid, "workers cannot read certs yet")
	case req.GetKind() == artifactv1.Kind_KIND_LOG:
		return httpx.Refuse(build.ErrInvalid, "workers send logs over the bus")
	case req.GetKind() == artifactv1.Kind_KIND_CACHE:
		return validCache(req)
	case req.GetKind() == artifactv1.Kind_KIND_SOURCE, readsOnly(req.GetKind()):
		return nil
	case req.GetSize() <= 0 || !ValidSHA256(req.GetSha256()):
		return httpx.Refuse(build.ErrInvalid, "a result needs its size in bytes and its SHA-256 in lower-case hexadecimal")
	case req.GetSize() > g.catalog.Limits.Of(req.GetKind()):
		return catalog.TooLarge(req.GetKind(), g.catalog.Limits.Of(req.GetKind()))
	}
	return nil
}

// readsOnly reports whether a kind is only asked for, and nothing is stored as it.
func readsOnly(k artifactv1.Kind) bool {
	return k == artifactv1.Kind_KIND_VARIABLES || k == artifactv1.Kind_KIND_REPACK_SOURCE
}

// ValidSHA256 reports whether a text is a SHA-256 in lower-case hexadecimal.
func ValidSHA256(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == 32 && text == strings.ToLower(text)
}

func (g *Grants) checkLease(
	ctx context.Context, worker string, req *artifactv1.WorkerGrantRequest,
) (*schedulerv1.CheckLeaseResponse, error) {
	resp, err := g.scheduler.CheckLease(ctx, &schedulerv1.CheckLeaseRequest{
		WorkerId: worker, BuildId: req.GetBuildId(), Attempt: req.GetAttempt(),
	})
	if err != nil {
		return nil, fmt.Errorf("check the lease: %w", err)
	}
	return resp, nil
}

// repackSource grants the reading of the result that the attempt's build is repacked from. Which one that is comes from the scheduler, never
// from the worker, and the object must be the result of that build, of the same project.
func (g *Grants) repackSource(ctx context.Context, lease *schedulerv1.CheckLeaseResponse) (*artifactv1.Grant, error) {
	b, from := lease.GetBuild(), lease.GetRepack()
	if from.GetBuildId() == "" || from.GetBuildId() != b.GetSettings().GetRepackFrom() {
		return nil, httpx.Refuse(build.ErrObjectNotFound, "the build is repacked from no build, or that has expired")
	}
	o, err := g.catalog.Readable(ctx, from.GetResult().GetObjectId())
	if err != nil {
		return nil, err
	}
	if o.BuildID != from.GetBuildId() || o.Project != b.GetProject() || catalog.KindOf(o) != artifactv1.Kind_KIND_RESULT {
		return nil, httpx.Refuse(build.ErrObjectNotFound, "build %s has no such result", from.GetBuildId())
	}
	return g.Sign(o, ticket.Ticket{Op: ticket.Get, Size: o.Size, SHA256: o.SHA256})
}

func (g *Grants) grantResult(
	ctx context.Context, b *schedulerv1.Build, req *artifactv1.WorkerGrantRequest,
) (*artifactv1.Grant, error) {
	o := store.Object{
		BuildID: req.GetBuildId(), Attempt: req.GetAttempt(), Kind: int32(req.GetKind()),
		Project: b.GetProject(), Name: req.GetName(),
	}
	return g.put(ctx, o, ticket.Ticket{MaxBytes: req.GetSize(), Size: req.GetSize(), SHA256: req.GetSha256()})
}
