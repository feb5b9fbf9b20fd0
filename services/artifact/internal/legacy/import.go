package legacy

import (
	"context"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/grant"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Requests answers the requests of an import.
type Requests struct {
	Catalog *catalog.Catalog
	Logs    *store.Logs
	Grants  *grant.Grants
}

// maxTakeOver bounds the files of one request, so that its answer fits into one message.
const maxTakeOver = 500

// TakeOver returns the objects of those files of the legacy controller's builds that are stored, and grants to upload the others. A
// repeat returns new grants for files whose bytes have not arrived; an object that gets no bytes expires.
func (r Requests) TakeOver(ctx context.Context, req *artifactv1.TakeOverRequest) (*artifactv1.TakeOverResponse, error) {
	if len(req.GetFiles()) > maxTakeOver {
		return nil, httpx.Refuse(build.ErrInvalid, "%d files in one request, at most %d are allowed", len(req.GetFiles()), maxTakeOver)
	}
	resp := &artifactv1.TakeOverResponse{Places: make([]*artifactv1.Place, len(req.GetFiles()))}
	var missing []store.Object
	for i, f := range req.GetFiles() {
		if err := validFile(f); err != nil {
			return nil, err
		}
		have, removed, err := r.find(ctx, f)
		if err != nil {
			return nil, err
		}
		resp.Places[i] = &artifactv1.Place{Removed: removed}
		switch {
		case removed:
		case have.ID != "":
			resp.Places[i].Object = catalog.Ref(have)
		case !req.GetCheck():
			o := r.Catalog.NewRow(store.Object{
				BuildID: f.GetBuildId(), Attempt: f.GetAttempt(), Kind: int32(f.GetKind()), Project: f.GetProject(), Name: f.GetName(),
			})
			missing = append(missing, o)
			if resp.Places[i].Grant, err = r.grantFile(o, f); err != nil {
				return nil, err
			}
		}
	}
	return resp, r.Catalog.Rows.Stage(ctx, missing...)
}

func validFile(f *artifactv1.File) error {
	if err := catalog.ValidTarget(f.GetBuildId(), f.GetKind()); err != nil {
		return err
	}
	switch {
	case f.GetAttempt() < 0:
		return httpx.Refuse(build.ErrInvalid, "invalid attempt %d", f.GetAttempt())
	case f.GetSize() < 0 || !grant.ValidSHA256(f.GetSha256()):
		return httpx.Refuse(build.ErrInvalid, "a file of build %s needs its size in bytes and its SHA-256 in lower-case hexadecimal", f.GetBuildId())
	}
	return nil
}

// find returns the object with these bytes, this kind, this build and attempt; without an id if no such object is stored. removed
// reports whether it has expired.
func (r Requests) find(ctx context.Context, f *artifactv1.File) (o store.Object, removed bool, err error) {
	if f.GetKind() == artifactv1.Kind_KIND_LOG {
		if o, removed, err = r.findLog(ctx, f); err != nil || removed || o.ID != "" {
			return o, removed, err
		}
	}
	all, err := r.Catalog.Rows.OfBuild(ctx, f.GetBuildId())
	if err != nil {
		return store.Object{}, false, err
	}
	for _, o := range all {
		if catalog.KindOf(o) == f.GetKind() && o.Attempt == f.GetAttempt() && o.Size == f.GetSize() && o.SHA256 == f.GetSha256() {
			return o, false, nil
		}
	}
	return store.Object{}, false, nil
}

// findLog returns the build's log if it is the one of the file or extends it.
func (r Requests) findLog(ctx context.Context, f *artifactv1.File) (o store.Object, removed bool, err error) {
	l, err := r.Logs.Log(ctx, f.GetBuildId())
	switch {
	case catalog.IsMissing(err):
		return o, false, nil
	case err != nil:
		return o, false, err
	case !l.RemovedAt.IsZero():
		return o, true, nil
	case l.ObjectID == "" || l.Lines < f.GetLines():
		return o, false, nil
	}
	o, err = r.Catalog.Readable(ctx, l.ObjectID)
	return o, false, err
}

// grantFile allows exactly these bytes, without inspection or limit: the legacy controller accepted them.
func (r Requests) grantFile(o store.Object, f *artifactv1.File) (*artifactv1.Grant, error) {
	return r.Grants.Sign(o, ticket.Ticket{Op: ticket.Put, MaxBytes: f.GetSize(), Size: f.GetSize(), SHA256: f.GetSha256(), AsIs: true})
}
