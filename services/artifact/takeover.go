package artifact

import (
	"context"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// maxTakeOver bounds the files of one request, so that its answer fits into one message.
const maxTakeOver = 500

// TakeOver says which files of another controller's builds are here, and makes room for those that are not. Asked again before
// their bytes have come it makes room again; what gets no bytes expires.
func (s requests) TakeOver(ctx context.Context, req *artifactv1.TakeOverRequest) (*artifactv1.TakeOverResponse, error) {
	if len(req.GetFiles()) > maxTakeOver {
		return nil, refuse(build.ErrInvalid, "%d files in one request, at most %d are allowed", len(req.GetFiles()), maxTakeOver)
	}
	resp := &artifactv1.TakeOverResponse{Places: make([]*artifactv1.Place, len(req.GetFiles()))}
	var missing []store.Object
	for i, f := range req.GetFiles() {
		if err := validFile(f); err != nil {
			return nil, err
		}
		have, removed, err := s.find(ctx, f)
		if err != nil {
			return nil, err
		}
		resp.Places[i] = &artifactv1.Place{Removed: removed}
		switch {
		case removed:
		case have.ID != "":
			resp.Places[i].Object = ref(have)
		case !req.GetCheck():
			o := s.staged(store.Object{
				BuildID: f.GetBuildId(), Attempt: f.GetAttempt(), Kind: int32(f.GetKind()), Project: f.GetProject(), Name: f.GetName(),
			})
			missing = append(missing, o)
			if resp.Places[i].Grant, err = s.grantFile(o, f); err != nil {
				return nil, err
			}
		}
	}
	return resp, s.rows.Stage(ctx, missing...)
}

func validFile(f *artifactv1.File) error {
	if err := validTarget(f.GetBuildId(), f.GetKind()); err != nil {
		return err
	}
	switch {
	case f.GetAttempt() < 0:
		return refuse(build.ErrInvalid, "attempt %d is none", f.GetAttempt())
	case f.GetSize() < 0 || !validSHA256(f.GetSha256()):
		return refuse(build.ErrInvalid, "a file of build %s needs its size in bytes and its SHA-256 in lower-case hexadecimal", f.GetBuildId())
	}
	return nil
}

// find returns the object that has these bytes, of this kind, of this build and attempt; none has no id. removed says that it was
// here and went by age.
func (s *Service) find(ctx context.Context, f *artifactv1.File) (o store.Object, removed bool, err error) {
	if f.GetKind() == artifactv1.Kind_KIND_LOG {
		if o, removed, err = s.findLog(ctx, f); err != nil || removed || o.ID != "" {
			return o, removed, err
		}
	}
	all, err := s.rows.OfBuild(ctx, f.GetBuildId())
	if err != nil {
		return store.Object{}, false, err
	}
	for _, o := range all {
		if kindOf(o) == f.GetKind() && o.Attempt == f.GetAttempt() && o.Size == f.GetSize() && o.SHA256 == f.GetSha256() {
			return o, false, nil
		}
	}
	return store.Object{}, false, nil
}

// findLog returns the log that the build has, if it is the one that comes or has grown out of it.
func (s *Service) findLog(ctx context.Context, f *artifactv1.File) (o store.Object, removed bool, err error) {
	l, err := s.rows.Log(ctx, f.GetBuildId())
	switch {
	case isMissing(err):
		return o, false, nil
	case err != nil:
		return o, false, err
	case !l.RemovedAt.IsZero():
		return o, true, nil
	case l.ObjectID == "" || l.Lines < f.GetLines():
		return o, false, nil
	}
	o, err = s.readable(ctx, l.ObjectID)
	return o, false, err
}

// grantFile takes exactly those bytes, whatever they are and however many: they were accepted once.
func (s *Service) grantFile(o store.Object, f *artifactv1.File) (*artifactv1.Grant, error) {
	return s.grant(o, ticket.Ticket{Op: ticket.Put, MaxBytes: f.GetSize(), Size: f.GetSize(), SHA256: f.GetSha256(), AsIs: true})
}
