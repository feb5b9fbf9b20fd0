package api

import (
	"context"
	"net/http"
	"net/url"
)

// WorkersService reads workers, and joins one.
type WorkersService struct{ conn *conn }

func workerPath(id, tail string) string { return Path + "/workers/" + url.PathEscape(id) + tail }

// List reads all workers, those online first.
func (s *WorkersService) List(ctx context.Context) (list WorkerList, err error) {
	err = s.conn.call(ctx, http.MethodGet, Path+"/workers", nil, &list)
	return list, err
}

// Get reads a worker and how its attempts ended. It is build.ErrWorkerUnknown if there is none.
func (s *WorkersService) Get(ctx context.Context, id string) (w Worker, err error) {
	err = s.conn.call(ctx, http.MethodGet, workerPath(id, ""), nil, &w)
	return w, err
}

// ListReports reads a worker's diagnostic reports, newest first.
func (s *WorkersService) ListReports(ctx context.Context, id string) (list ReportList, err error) {
	err = s.conn.call(ctx, http.MethodGet, workerPath(id, "/reports"), nil, &list)
	return list, err
}

// Join registers a worker and returns its credentials for the bus.
func (s *WorkersService) Join(ctx context.Context, r JoinRequest) (resp JoinResponse, err error) {
	err = s.conn.call(ctx, http.MethodPost, Path+"/workers", r, &resp)
	return resp, err
}
