package telemetry

import (
	"context"
	"fmt"
	"math"
	"time"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// mostPoints is the most of one answer; manyPoints what a resolution is chosen for.
	mostPoints = 2000
	manyPoints = 500
	// maxResolution of a point, in seconds.
	maxResolution = 24 * 60 * 60
)

// resolutions are the seconds of a point to choose from if the request names none.
var resolutions = []int32{1, 5, 10, 15, 30, 60, 300, 900, 3600} //nolint:gochecknoglobals // a constant

// Telemetry returns what a build used. A build without samples has no points.
func (c *Collector) Telemetry(ctx context.Context, r *monitorv1.TelemetryRequest) (*monitorv1.TelemetryResponse, error) {
	step := r.GetResolutionSeconds()
	switch {
	case !build.ValidID(r.GetBuildId()):
		return nil, fmt.Errorf("%w: build id %.80q", build.ErrInvalid, r.GetBuildId())
	case step < 0 || step > maxResolution:
		return nil, fmt.Errorf("%w: a resolution of %d s, want 1 to %d", build.ErrInvalid, step, maxResolution)
	}
	from, to := time.UnixMilli(r.GetFromMs()), time.UnixMilli(math.MaxInt64)
	if r.GetToMs() > 0 {
		to = time.UnixMilli(r.GetToMs())
	}
	if step == 0 {
		var err error
		if step, err = c.resolution(ctx, r.GetBuildId(), from, to); err != nil {
			return nil, err
		}
	}
	points, err := c.samples.Points(ctx, r.GetBuildId(), from, to, time.Duration(step)*time.Second, mostPoints+1)
	if err != nil {
		return nil, err
	}
	resp := &monitorv1.TelemetryResponse{Points: points, ResolutionSeconds: step}
	if len(points) > mostPoints {
		resp.Points, resp.Cut = points[:mostPoints], true
	}
	return resp, nil
}

// resolution returns the finest that makes no more than manyPoints.
func (c *Collector) resolution(ctx context.Context, buildID string, from, to time.Time) (int32, error) {
	first, last, err := c.samples.Span(ctx, buildID)
	if err != nil || first.IsZero() {
		return resolutions[0], err
	}
	if from.After(first) {
		first = from
	}
	if to.Before(last) {
		last = to
	}
	for _, r := range resolutions {
		if last.Sub(first) <= time.Duration(r)*manyPoints*time.Second {
			return r, nil
		}
	}
	return resolutions[len(resolutions)-1], nil
}

// Usage returns the mean over all builds.
func (c *Collector) Usage(ctx context.Context, _ *monitorv1.UsageRequest) (*monitorv1.UsageResponse, error) {
	mean, n, dropped, err := c.samples.Usage(ctx)
	if err != nil {
		return nil, err
	}
	return &monitorv1.UsageResponse{MeanCpuPercent: mean, Samples: n, Dropped: dropped}, nil
}
