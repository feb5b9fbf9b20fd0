package janitor

import (
	"context"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// maxExpire bounds the builds of one request: their objects are deleted one after the other.
const maxExpire = 200

// ExpireBuilds deletes everything that is stored of expired builds. It may be interrupted anywhere and repeated.
func (j *Janitor) ExpireBuilds(ctx context.Context, req *artifactv1.ExpireBuildsRequest) (*artifactv1.ExpireBuildsResponse, error) {
	if err := validBuilds(req.GetBuildIds(), maxExpire); err != nil {
		return nil, err
	}
	resp := &artifactv1.ExpireBuildsResponse{}
	for _, id := range req.GetBuildIds() {
		if err := j.expireBuild(ctx, id, resp); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

func validBuilds(ids []string, most int) error {
	if len(ids) > most {
		return httpx.Refuse(build.ErrInvalid, "%d builds in one request, at most %d are allowed", len(ids), most)
	}
	for _, id := range ids {
		if !build.ValidID(id) {
			return httpx.Refuse(build.ErrInvalid, "invalid build id %.80q", id)
		}
	}
	return nil
}

// expireBuild marks the log first, so that no archive is saved after its build is gone.
func (j *Janitor) expireBuild(ctx context.Context, id string, resp *artifactv1.ExpireBuildsResponse) error {
	if err := j.logs.ExpireLog(ctx, id, time.Now()); err != nil {
		return err
	}
	if err := j.purgeLines(ctx, id); err != nil {
		return err
	}
	all, err := j.catalog.Rows.AllOfBuild(ctx, id)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := j.catalog.Discard(ctx, o.ID); err != nil {
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

// MeasureBuilds returns how many objects builds have, and their bytes.
func (j *Janitor) MeasureBuilds(ctx context.Context, req *artifactv1.MeasureBuildsRequest) (*artifactv1.MeasureBuildsResponse, error) {
	if err := validBuilds(req.GetBuildIds(), maxMeasure); err != nil || len(req.GetBuildIds()) == 0 {
		return &artifactv1.MeasureBuildsResponse{}, err
	}
	objects, bytes, err := j.catalog.Rows.Measure(ctx, req.GetBuildIds())
	if err != nil {
		return nil, err
	}
	return &artifactv1.MeasureBuildsResponse{Objects: objects, Bytes: bytes}, nil
}
