package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpserver"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// maxProblem bounds what is read of a refusal.
const maxProblem = 64 << 10

// upload streams body to the artifact service, which stores and hashes it on the way.
func (g *Ingest) upload(ctx context.Context, req *artifactv1.UploadRequest, body io.Reader) (*eventsv1.ObjectRef, error) {
	var resp artifactv1.UploadResponse
	if err := g.ask(ctx, "artifact", "upload", req, &resp); err != nil {
		return nil, fmt.Errorf("ask for a place: %w", err)
	}
	answer, err := g.send(ctx, resp.GetGrant(), io.NopCloser(body), nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusCreated {
		return nil, problem(answer)
	}
	var up api.Uploaded
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxProblem)).Decode(&up); err != nil {
		return nil, fmt.Errorf("%w: answer to an upload: %w", build.ErrUnavailable, err)
	}
	return &eventsv1.ObjectRef{ObjectId: up.ObjectID, Size: up.Size, Sha256: up.SHA256, Name: req.GetName()}, nil
}

// send makes the request that a grant permits.
func (g *Ingest) send(ctx context.Context, grant *artifactv1.Grant, body io.ReadCloser, header http.Header) (*http.Response, error) {
	target := grant.GetUrl()
	if u, err := url.Parse(target); err == nil && !u.IsAbs() {
		target = g.deps.ArtifactURL + target
	}
	req, err := http.NewRequestWithContext(ctx, grant.GetMethod(), target, body)
	if err != nil {
		return nil, fmt.Errorf("transfer: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	for k, v := range grant.GetHeaders() {
		req.Header.Set(k, v)
	}
	req.Header.Set(requestIDHeader, requestID(ctx))
	resp, err := g.deps.ArtifactClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: the artifact service cannot be reached: %w", build.ErrUnavailable, err)
	}
	return resp, nil
}

// problem reads a refusal of the artifact service back into the sentinel that it was.
func problem(resp *http.Response) error {
	var p api.Problem
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil || p.Code == "" {
		return fmt.Errorf("%w: the artifact service answered %s", build.ErrUnavailable, resp.Status)
	}
	if p.Code == "upload_cut" || p.Code == "transfer_stalled" {
		return fmt.Errorf("%w: %s", build.ErrInvalid, p.Detail)
	}
	return rpc.FromCode(p.Code, p.Detail)
}

// copyHeaders passes the named headers on.
func copyHeaders(to, from http.Header, names ...string) {
	for _, k := range names {
		if v := from.Values(k); len(v) > 0 {
			to[http.CanonicalHeaderKey(k)] = v
		}
	}
}

// download passes an object on to the client. If it breaks half way, so does the connection: never a quiet short answer.
func (g *Ingest) download(w http.ResponseWriter, r *http.Request, say dialect, objectID, fileName string) {
	var resp artifactv1.DownloadResponse
	if err := g.ask(r.Context(), "artifact", "download", &artifactv1.DownloadRequest{ObjectId: objectID}, &resp); err != nil {
		g.fail(w, r, say, err)
		return
	}
	header := http.Header{}
	copyHeaders(header, r.Header, "Range", "If-Range", "If-None-Match")
	answer, err := g.send(r.Context(), resp.GetGrant(), nil, header)
	if err != nil {
		g.fail(w, r, say, err)
		return
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified:
	case http.StatusRequestedRangeNotSatisfiable:
		w.Header().Set("Content-Range", answer.Header.Get("Content-Range"))
		say.refuse(w, r, answer.StatusCode, "range_not_satisfiable", "Range not satisfiable")
		return
	default:
		g.fail(w, r, say, problem(answer))
		return
	}
	copyHeaders(w.Header(), answer.Header, "Content-Length", "Content-Range", "Accept-Ranges", "Etag", "X-Checksum-Sha256")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fileName))
	w.WriteHeader(answer.StatusCode)
	if _, err := httpserver.Copy(w, answer.Body); err != nil {
		g.log.WarnContext(r.Context(), "download broke off", "request_id", requestID(r.Context()), "object_id", objectID, "err", err)
		panic(http.ErrAbortHandler)
	}
}

// newObjectsProxy passes bytes between those outside who hold a grant and the artifact service.
func (g *Ingest) newObjectsProxy() (*httputil.ReverseProxy, error) {
	target, err := url.Parse(g.deps.ArtifactURL)
	if err != nil {
		return nil, fmt.Errorf("URL of the artifact service: %w", err)
	}
	return &httputil.ReverseProxy{
		Transport: g.deps.ArtifactClient.Transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			// The ticket is the authority; keys are none of the artifact service's business.
			p.Out.Header.Del("X-API-Key")
			p.Out.Header.Del("Authorization")
			p.Out.Header.Del("X-Build-Token")
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			g.fail(w, r, v2, fmt.Errorf("%w: the artifact service cannot be reached: %w", build.ErrUnavailable, err))
		},
	}, nil
}

// moveObject is the bytes' way in and out for workers.
func (g *Ingest) moveObject(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut:
	default:
		v2.refuse(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "Use GET, HEAD or PUT")
		return
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = io.NopCloser(httpserver.Stall(w, r.Body))
	}
	g.objects.ServeHTTP(w, r)
}
