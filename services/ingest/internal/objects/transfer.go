package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// maxProblem bounds the size of an error response, in bytes.
const maxProblem = 64 << 10

// Upload sends a file to the artifact service, which stores and hashes it. It calls note with the
// id of the object before a byte moves, so that the caller can discard it whatever happens. A small
// file goes with the request, a larger one is streamed. Certificates are streamed whatever their
// size: they do not travel over the bus.
func (t *Transfers) Upload(ctx context.Context, note func(objectID string), req *artifactv1.UploadRequest, file io.Reader) (*eventsv1.ObjectRef, error) {
	if req.GetKind() == artifactv1.Kind_KIND_CERTS {
		return t.stream(ctx, note, req, file)
	}
	head, err := io.ReadAll(io.LimitReader(file, api.SmallObject+1))
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if len(head) > api.SmallObject {
		return t.stream(ctx, note, req, io.MultiReader(bytes.NewReader(head), file))
	}
	id := build.NewID()
	note(id)
	var resp *artifactv1.StoreResponse
	resp, err = t.farm.Artifact.Store(ctx, &artifactv1.StoreRequest{
		ObjectId: id, BuildId: req.GetBuildId(), Kind: req.GetKind(), Project: req.GetProject(), Name: req.GetName(),
		Attempt: req.GetAttempt(), Data: head,
	})
	if err != nil {
		return nil, err
	}
	ref := resp.GetObject()
	return &eventsv1.ObjectRef{ObjectId: ref.GetObjectId(), Size: ref.GetSize(), Sha256: ref.GetSha256(), Name: req.GetName()}, nil
}

func (t *Transfers) stream(ctx context.Context, note func(string), req *artifactv1.UploadRequest, file io.Reader) (*eventsv1.ObjectRef, error) {
	resp, err := t.farm.Artifact.Upload(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask for a place: %w", err)
	}
	note(resp.GetGrant().GetObjectId())
	ctx, moved, stop := httpx.WithStallTimeout(ctx)
	defer stop()
	answer, err := t.send(ctx, resp.GetGrant(), io.NopCloser(httpx.ProgressReader{Reader: file, Moved: moved}), nil)
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

// ReadWhole reads a small object and verifies its SHA-256.
func (t *Transfers) ReadWhole(ctx context.Context, ref *eventsv1.ObjectRef) ([]byte, error) {
	resp, err := t.farm.Artifact.Download(ctx, &artifactv1.DownloadRequest{ObjectId: ref.GetObjectId()})
	if err != nil {
		return nil, err
	}
	ctx, moved, stop := httpx.WithStallTimeout(ctx)
	defer stop()
	answer, err := t.send(ctx, resp.GetGrant(), nil, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, problem(answer)
	}
	data := make([]byte, ref.GetSize())
	if _, err := io.ReadFull(httpx.ProgressReader{Reader: answer.Body, Moved: moved}, data); err != nil {
		return data, fmt.Errorf("%w: read object %s: %w", build.ErrUnavailable, ref.GetObjectId(), err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != ref.GetSha256() {
		return data, fmt.Errorf("object %s: %w", ref.GetObjectId(), build.ErrObjectCorrupt)
	}
	return data, nil
}

// send sends the request of a grant.
func (t *Transfers) send(ctx context.Context, grant *artifactv1.Grant, body io.ReadCloser, header http.Header) (*http.Response, error) {
	target := grant.GetUrl()
	if u, err := url.Parse(target); err == nil && !u.IsAbs() {
		target = strings.TrimSuffix(t.url, "/") + target
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
	req.Header.Set(httpx.RequestIDHeader, observe.RequestID(ctx))
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: the artifact service cannot be reached: %w", build.ErrUnavailable, err)
	}
	return resp, nil
}

// problem converts an error response of the artifact service to its sentinel error.
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
		return httpx.Refuse(build.ErrInvalid, httpapi.MsgFormCut)
	case p.Code == httpapi.CodeStalled:
		return fmt.Errorf("the artifact service: %w", httpx.ErrStalled)
	}
	return rpc.FromCode(p.Code, p.Detail)
}

// requestHeaders and responseHeaders are the headers of a download that are forwarded.
func requestHeaders() []string { return []string{"Range", "If-Range", "If-None-Match"} }

func responseHeaders() []string {
	return []string{"Content-Length", "Content-Range", "Accept-Ranges", "Etag", "X-Checksum-Sha256", "Last-Modified"}
}

// Download sends an object to the client as application/octet-stream.
func (t *Transfers) Download(w http.ResponseWriter, r *http.Request, d httpapi.Dialect, objectID, fileName string) {
	t.Transfer(w, r, d, objectID, File{Name: fileName, ContentType: "application/octet-stream"})
}

// File is the name and content type of an object for the client. ContentType "" means the object's
// own.
type File struct{ Name, ContentType string }

// Transfer sends an object to the client. If it fails half way, it aborts the connection, so that
// no client mistakes a part for the whole.
func (t *Transfers) Transfer(w http.ResponseWriter, r *http.Request, d httpapi.Dialect, objectID string, as File) {
	resp, err := t.farm.Artifact.Download(r.Context(), &artifactv1.DownloadRequest{ObjectId: objectID})
	if err != nil {
		t.Fail(w, r, d, err)
		return
	}
	if as.ContentType == "" {
		as.ContentType = resp.GetGrant().GetObject().GetContentType()
	}
	ctx, moved, stop := httpx.WithStallTimeout(r.Context())
	defer stop()
	answer, err := t.send(ctx, resp.GetGrant(), nil, pick(r.Header, requestHeaders()))
	if err != nil {
		t.Fail(w, r, d, err)
		return
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified:
		t.copyResponse(w, r, answer, as, moved)
	case http.StatusRequestedRangeNotSatisfiable:
		w.Header().Set("Content-Range", answer.Header.Get("Content-Range"))
		d.Refuse(w, r, answer.StatusCode, "range_not_satisfiable", "Range not satisfiable")
	default:
		t.Fail(w, r, d, problem(answer))
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

func (t *Transfers) copyResponse(w http.ResponseWriter, r *http.Request, answer *http.Response, as File, moved func()) {
	for k, v := range pick(answer.Header, responseHeaders()) {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", as.ContentType)
	w.Header().Set("Content-Disposition", httpapi.Attachment(as.Name))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(answer.StatusCode)
	out := httpx.NewDeadlineWriter(w, httpx.StallTimeout, moved)
	defer out.Done()
	if _, err := io.CopyBuffer(struct{ io.Writer }{out}, answer.Body, make([]byte, 128<<10)); err != nil {
		t.Log.WarnContext(r.Context(), "send object failed", "path", r.URL.Path, "err", errors.Join(err, r.Context().Err()))
		panic(http.ErrAbortHandler)
	}
}
