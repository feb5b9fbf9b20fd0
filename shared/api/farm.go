package api

import (
	"context"
	"net/http"
	"net/url"
)

// Workers reads all workers, those online first.
func (c *Client) Workers(ctx context.Context) (list WorkerList, err error) {
	err = c.call(ctx, http.MethodGet, Path+"/workers", nil, &list)
	return list, err
}

// Worker reads one worker and what became of its builds; build.ErrWorkerUnknown if there is none.
func (c *Client) Worker(ctx context.Context, id string) (w Worker, err error) {
	err = c.call(ctx, http.MethodGet, Path+"/workers/"+url.PathEscape(id), nil, &w)
	return w, err
}

// Reports reads a worker's diagnostic reports, newest first.
func (c *Client) Reports(ctx context.Context, workerID string) (list ReportList, err error) {
	err = c.call(ctx, http.MethodGet, Path+"/workers/"+url.PathEscape(workerID)+"/reports", nil, &list)
	return list, err
}

// StatsOptions choose days (2026-11-26, UTC, both included) and a project. The zero value is the last thirty days of all.
type StatsOptions struct{ From, To, Project string }

// Stats reads the figures of days.
func (c *Client) Stats(ctx context.Context, o StatsOptions) (s Stats, err error) {
	q := url.Values{}
	for name, value := range map[string]string{"from": o.From, "to": o.To, "project": o.Project} {
		if value != "" {
			q.Set(name, value)
		}
	}
	err = c.call(ctx, http.MethodGet, Path+"/stats?"+q.Encode(), nil, &s)
	return s, err
}
