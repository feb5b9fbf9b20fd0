package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// maxProblem bounds what is read of a refusal.
const maxProblem = 64 << 10

// upload brings a file to the artifact service, which stores and hashes it. The object is noted in s before a byte moves, so
// that it is discarded whatever happens. A small one goes with the request, a larger one is streamed. Certs are streamed
// whatever their size: they do not travel over the bus.
func (g *Ingest) upload(ctx context.Context, s *submission, req *artifactv1.UploadRequest, file io.Reader) (*eventsv1.ObjectRef, error) {
	if req.GetKind() == artifactv1.Kind_KIND_CERTS {
		return g.stream(ctx, s, req, file)
	}
	head, err := io.ReadAll(io.LimitReader(file, api.SmallObject+1))
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if len(head) > api.SmallObject {
		return g.stream(ctx, s, req, io.MultiReader(bytes.NewReader(head), file))
	}
	id := build.NewID()
	s.objects = append(s.objects, id)
	var resp *artifactv1.StoreResponse
	resp, err = g.farm.Artifact.Store(ctx, &artifactv1.StoreRequest{
		ObjectId: id, BuildId: req.GetBuildId(), Kind: req.GetKind(), Project: req.GetProject(), Name: req.GetName(),
		Attempt: req.GetAttempt(), Data: head,
	})
	if err != nil {
		return nil, err
	}
	ref := resp.GetObject()
	return &eventsv1.ObjectRef{ObjectId: ref.GetObjectId(), Size: ref.GetSize(), Sha256: ref.GetSha256(), Name: req.GetName()}, nil
}

func (g *Ingest) stream(ctx context.Context, s *submission, req *artifactv1.UploadRequest, file io.Reader) (*eventsv1.ObjectRef, error) {
	resp, err := g.farm.Artifact.Upload(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask for a place: %w", err)
	}
	s.objects = append(s.objects, resp.GetGrant().GetObjectId())
	ctx, moved, stop := httpapi.WithStallTimeout(ctx)
	defer stop()
	answer, err := g.send(ctx, resp.GetGrant(), io.NopCloser(httpapi.ProgressReader{Reader: file, Moved: moved}), nil)
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
		target = strings.TrimSuffix(g.deps.ArtifactURL, "/") + target
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
	req.Header.Set(httpapi.RequestIDHeader, httpapi.RequestID(ctx))
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
	switch {
	case err != nil || p.Code == "":
		return fmt.Errorf("%w: the artifact service answered %s", build.ErrUnavailable, resp.Status)
	case p.Code == "upload_cut":
		return httpapi.Refuse(build.ErrInvalid, httpapi.MsgFormCut)
	case p.Code == httpapi.CodeStalled:
		return fmt.Errorf("the artifact service: %w", httpapi.ErrStalled)
	}
	return rpc.FromCode(p.Code, p.Detail)
}

// passedIn and passedOut are the headers of a download that mean something to the artifact service, and back.
func passedIn() []string { return []string{"Range", "If-Range", "If-None-Match"} }

func passedOut() []string {
	return []string{"Content-Length", "Content-Range", "Accept-Ranges", "Etag", "X-Checksum-Sha256", "Last-Modified"}
}

// download passes an object on to the client as bytes of no type.
func (g *Ingest) download(w http.ResponseWriter, r *http.Request, say httpapi.Dialect, objectID, fileName string) {
	g.transfer(w, r, say, objectID, file{name: fileName, contentType: "application/octet-stream"})
}

// file is how an object is shown to a client. Without a content type it is shown with its own.
type file struct{ name, contentType string }

// transfer passes an object on to the client. If it breaks half way, so does the connection: never a quiet short answer.
func (g *Ingest) transfer(w http.ResponseWriter, r *http.Request, say httpapi.Dialect, objectID string, as file) {
	resp, err := g.farm.Artifact.Download(r.Context(), &artifactv1.DownloadRequest{ObjectId: objectID})
	if err != nil {
		g.Fail(w, r, say, err)
		return
	}
	if as.contentType == "" {
		as.contentType = resp.GetGrant().GetObject().GetContentType()
	}
	ctx, moved, stop := httpapi.WithStallTimeout(r.Context())
	defer stop()
	answer, err := g.send(ctx, resp.GetGrant(), nil, pick(r.Header, passedIn()))
	if err != nil {
		g.Fail(w, r, say, err)
		return
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified:
		g.passOn(w, r, answer, as, moved)
	case http.StatusRequestedRangeNotSatisfiable:
		w.Header().Set("Content-Range", answer.Header.Get("Content-Range"))
		say.Refuse(w, r, answer.StatusCode, "range_not_satisfiable", "Range not satisfiable")
	default:
		g.Fail(w, r, say, problem(answer))
	}
}

func pick(from http.Header, names []string) http.Header {
	picked := http.Header{}
	for _, k := range names {
		if v := from.Values(k); len(v) > 0 {
			picked[k] = v
		}
	}
	return picked
}

func (g *Ingest) passOn(w http.ResponseWriter, r *http.Request, answer *http.Response, as file, moved func()) {
	for k, v := range pick(answer.Header, passedOut()) {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", as.contentType)
	w.Header().Set("Content-Disposition", attachment(as.name))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(answer.StatusCode)
	out := httpapi.NewDeadlineWriter(w, moved)
	defer out.Done()
	if _, err := io.CopyBuffer(struct{ io.Writer }{out}, answer.Body, make([]byte, 128<<10)); err != nil {
		g.log.WarnContext(r.Context(), "download broke off", "path", r.URL.Path, "err", errors.Join(err, r.Context().Err()))
		panic(http.ErrAbortHandler)
	}
}

// attachment names the file; API v1 promises the quotes.
func attachment(name string) string {
	for _, c := range name {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return mime.FormatMediaType("attachment", map[string]string{"filename": name})
		}
	}
	return `attachment; filename="` + name + `"`
}
