package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// BuildsService submits, reads and ends builds.
type BuildsService struct {
	conn    *conn
	objects *ObjectsService
}

func buildPath(id, tail string) string { return Path + "/builds/" + url.PathEscape(id) + tail }

// Get reads a build with its attempts. It is build.ErrNotFound if there is none.
func (s *BuildsService) Get(ctx context.Context, id string) (b Build, err error) {
	err = s.conn.call(ctx, http.MethodGet, buildPath(id, ""), nil, &b)
	return b, err
}

// ListOptions choose builds. The zero value is the newest page of all.
type ListOptions struct {
	Limit int
	// Before is the Next of an earlier page.
	Before string
	Status []string
}

// List reads one page, newest first.
func (s *BuildsService) List(ctx context.Context, o ListOptions) (list BuildList, err error) {
	q := url.Values{"status": o.Status}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Before != "" {
		q.Set("before", o.Before)
	}
	err = s.conn.call(ctx, http.MethodGet, Path+"/builds?"+q.Encode(), nil, &list)
	return list, err
}

// Cancel ends a build. It is build.ErrFinished if the build has ended already. Cancel retries what breaks on the way.
func (s *BuildsService) Cancel(ctx context.Context, id string) (b Build, err error) {
	tries := 0
	err = s.conn.retry(ctx, func() error {
		tries++
		return s.post(ctx, tries, buildPath(id, "/cancel"), nil, &b)
	})
	if tries > 1 && errors.Is(err, build.ErrFinished) { // perhaps by the try whose answer was lost
		if now, unknown := s.Get(ctx, id); unknown == nil && now.Status == string(build.Cancelled) {
			return now, nil
		}
	}
	return b, err
}

// Retry submits a build's source again. It retries what breaks on the way, with an idempotency key: the result is one build.
func (s *BuildsService) Retry(ctx context.Context, id string) (out Submitted, err error) {
	tries, header := 0, http.Header{idempotencyHeader: {build.NewID()}}
	err = s.conn.retry(ctx, func() error {
		tries++
		return s.post(ctx, tries, buildPath(id, "/retry"), header, &out)
	})
	return out, err
}

// post is one try of a POST without a body. The first fails fast if nobody listens.
func (s *BuildsService) post(ctx context.Context, try int, path string, header http.Header, out any) error {
	err := s.conn.callWith(ctx, http.MethodPost, path, header, nil, out)
	if try == 1 {
		return failFastIfDown(err)
	}
	return err
}

// Pin keeps a build from expiring. It is build.ErrNotFound if there is no such build, build.ErrExpired if it has expired.
func (s *BuildsService) Pin(ctx context.Context, id, note string) (b Build, err error) {
	err = s.conn.call(ctx, http.MethodPut, buildPath(id, "/pin"), NewPin{Note: note}, &b)
	return b, err
}

// Unpin lets a build expire again. A build that is not pinned is no error.
func (s *BuildsService) Unpin(ctx context.Context, id string) (b Build, err error) {
	err = s.conn.call(ctx, http.MethodDelete, buildPath(id, "/pin"), nil, &b)
	return b, err
}
