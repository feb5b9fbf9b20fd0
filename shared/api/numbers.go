package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// BuildNumbers are the counters of a project: GET /build-numbers?project=NAME.
type BuildNumbers struct {
	Project string `json:"project"`
	// Numbers are by platform; a platform without a counter has none.
	Numbers []BuildNumber `json:"numbers"`
}

// Last returns the last number used on a platform; empty without a counter.
func (n BuildNumbers) Last(p build.Platform) string {
	for _, one := range n.Numbers {
		if one.Platform == string(p) {
			return one.Last
		}
	}
	return ""
}

// BuildNumber is the counter of a project and platform.
type BuildNumber struct {
	Platform string `json:"platform"`
	// Last is the last versionCode (Android) or buildNumber (iOS) used.
	Last string `json:"last"`
	// ChangedAt is when a submit or a person changed it.
	ChangedAt string `json:"changed_at,omitempty"`
}

// NewBuildNumber sets a counter: PUT /build-numbers?project=NAME&platform=ios|android.
type NewBuildNumber struct {
	// Last is the last number used.
	Last string `json:"last" required:"true"`
	// Force allows a number below the present one.
	Force bool `json:"force,omitempty"`
}

// NumbersService reads and sets the build numbers of projects.
type NumbersService struct{ conn *conn }

// Get reads the counters of a project.
func (s *NumbersService) Get(ctx context.Context, project string) (n BuildNumbers, err error) {
	err = s.conn.retry(ctx, func() error {
		return s.conn.call(ctx, http.MethodGet, Path+"/build-numbers?project="+url.QueryEscape(project), nil, &n)
	})
	return n, err
}

// Set sets the last number used. It is build.ErrInvalid if the platform has no such number, or if it is below the present one and force
// is not set.
func (s *NumbersService) Set(ctx context.Context, project string, p build.Platform, last string, force bool) (out BuildNumber, err error) {
	query := url.Values{"project": {project}, "platform": {string(p)}}.Encode()
	err = s.conn.retry(ctx, func() error {
		return s.conn.call(ctx, http.MethodPut, Path+"/build-numbers?"+query, NewBuildNumber{Last: last, Force: force}, &out)
	})
	return out, err
}
