package artifact

import (
	"context"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// maxExpire bounds the builds of one request: their objects are deleted one after the other.
const maxExpire = 200

// ExpireBuilds deletes everything of builds that the scheduler has let go. It may be broken off anywhere and repeated.
func (s requests) ExpireBuilds(ctx context.Context, req *artifactv1.ExpireBuildsRequest) (*artifactv1.ExpireBuildsResponse, error) {
	if err := validBuilds(req.GetBuildIds(), maxExpire); err != nil {
		return nil, err
	}
	js, err := bus.JetStream(s.conn)
	if err != nil {
		return nil, err
	}
	lines := &archivist{s: s.Service, js: js, log: s.log}
	resp := &artifactv1.ExpireBuildsResponse{}
	for _, id := range req.GetBuildIds() {
		if err := s.expireBuild(ctx, lines, id, resp); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

func validBuilds(ids []string, most int) error {
	if len(ids) > most {
		return refuse(build.ErrInvalid, "%d builds in one request, at most %d are allowed", len(ids), most)
	}
	for _, id := range ids {
		if !build.ValidID(id) {
			return refuse(build.ErrInvalid, "invalid build id %.80q", id)
		}
	}
	return nil
}

// expireBuild first marks the log, so that an archive in the making is not saved after its build is gone.
func (s *Service) expireBuild(ctx context.Context, lines *archivist, id string, resp *artifactv1.ExpireBuildsResponse) error {
	if err := s.rows.ExpireLog(ctx, id, s.now()); err != nil {
		return err
	}
	if err := lines.purge(ctx, store.Log{BuildID: id}); err != nil {
		return err
	}
	all, err := s.rows.AllOfBuild(ctx, id)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := s.discardOne(ctx, o.ID); err != nil {
			return err
		}
		resp.Objects++
		if o.HasBytes() {
			resp.Bytes += o.Size
		}
	}
	return nil
}

// maxMeasure bounds the builds of one request.
const maxMeasure = 1000

func (s requests) MeasureBuilds(ctx context.Context, req *artifactv1.MeasureBuildsRequest) (*artifactv1.MeasureBuildsResponse, error) {
	if err := validBuilds(req.GetBuildIds(), maxMeasure); err != nil || len(req.GetBuildIds()) == 0 {
		return &artifactv1.MeasureBuildsResponse{}, err
	}
	objects, bytes, err := s.rows.Measure(ctx, req.GetBuildIds())
	if err != nil {
		return nil, err
	}
	return &artifactv1.MeasureBuildsResponse{Objects: objects, Bytes: bytes}, nil
}

// removedMeanwhile returns a refusal if an object that was there a moment ago has been removed since: then missing bytes are no
// damage.
func (s *Service) removedMeanwhile(ctx context.Context, o store.Object) error {
	if _, err := s.readable(ctx, o.ID); isMissing(err) {
		return because(build.ErrObjectNotFound, err, "the object was removed meanwhile")
	}
	return nil
}
