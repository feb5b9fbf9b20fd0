package objects

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// newProxy returns the proxy between clients that hold a grant and the artifact service.
func (t *Transfers) newProxy() (*httputil.ReverseProxy, error) {
	target, err := url.Parse(t.url)
	if err != nil {
		return nil, fmt.Errorf("URL of the artifact service: %w", err)
	}
	return &httputil.ReverseProxy{
		Transport: t.client.Transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			// The ticket authorizes the request. The artifact service must not see keys.
			for _, k := range []string{"X-API-Key", "Authorization", "X-Build-Token", "Cookie"} {
				p.Out.Header.Del(k)
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del(httpx.RequestIDHeader) // the gateway has set it
			closeUnread(resp.Header, resp.Request)
			return nil
		},
		ErrorHandler: t.proxyFailed,
		ErrorLog:     slog.NewLogLogger(t.Log.Handler(), slog.LevelInfo),
	}, nil
}

// closeUnread closes the connection after a response that comes before the whole body: the rest
// would be read as the next request.
func closeUnread(h http.Header, r *http.Request) {
	if b, ok := r.Body.(*httpapi.Body); ok && !b.Ended() {
		h.Set("Connection", "close")
	}
}

func (t *Transfers) proxyFailed(w http.ResponseWriter, r *http.Request, err error) {
	closeUnread(w.Header(), r)
	if b, ok := r.Body.(*httpapi.Body); ok && b.Broken() != nil {
		t.Fail(w, r, httpapi.V2, httpapi.BodyError(b.Broken()))
		return
	}
	t.Fail(w, r, httpapi.V2, fmt.Errorf("%w: the artifact service cannot be reached: %w", build.ErrUnavailable, err))
}

// Move streams bytes between a worker that holds a grant and the artifact service, in both
// directions. It bounds pauses, not the whole transfer.
func (t *Transfers) Move(w http.ResponseWriter, r *http.Request) {
	ctx, moved, stop := httpx.WithStallTimeout(r.Context())
	defer stop()
	out := httpx.NewDeadlineWriter(w, httpx.StallTimeout, moved)
	defer out.Done()
	r = r.WithContext(ctx)
	if r.Body == nil || r.Body == http.NoBody {
		t.proxy.ServeHTTP(out, r)
		return
	}
	b := httpapi.NewBody(w, r, 0)
	b.OnProgress(moved)
	b.EnableFullDuplex()
	r.Body = b
	t.proxy.ServeHTTP(out, r)
	b.FlushAndDrain()
}
