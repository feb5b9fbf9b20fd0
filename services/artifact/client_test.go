package artifact_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	source    = artifactv1.Kind_KIND_SOURCE
	certs     = artifactv1.Kind_KIND_CERTS
	result    = artifactv1.Kind_KIND_RESULT
	artifacts = artifactv1.Kind_KIND_ARTIFACTS
)

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (f *farm) call(verb string, req, resp proto.Message) error {
	f.t.Helper()
	return rpc.Call(f.t.Context(), f.conn, bus.RequestSubject("artifact", verb), req, resp)
}

func (f *farm) grantUpload(buildID string, k artifactv1.Kind) *artifactv1.Grant {
	f.t.Helper()
	var resp artifactv1.UploadResponse
	err := f.call("upload", &artifactv1.UploadRequest{BuildId: buildID, Kind: k, Project: "My Shop/../x", Name: "app.zip"}, &resp)
	if err != nil {
		f.t.Fatalf("upload: %v", err)
	}
	return resp.GetGrant()
}

func (f *farm) grantDownload(id string) *artifactv1.Grant {
	f.t.Helper()
	var resp artifactv1.DownloadResponse
	if err := f.call("download", &artifactv1.DownloadRequest{ObjectId: id}, &resp); err != nil {
		f.t.Fatalf("download: %v", err)
	}
	return resp.GetGrant()
}

func (f *farm) grantWorker(worker string, req *artifactv1.WorkerGrantRequest) (*artifactv1.Grant, error) {
	f.t.Helper()
	var resp artifactv1.WorkerGrantResponse
	err := rpc.Call(f.t.Context(), f.conn, bus.WorkerRequestSubject("artifact", "grant", worker), req, &resp)
	return resp.GetGrant(), err
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of the transport or of reading the body
}

func (a answer) code() string {
	var p api.Problem
	_ = json.Unmarshal(a.body, &p)
	return p.Code
}

func (a answer) detail() string {
	var p api.Problem
	_ = json.Unmarshal(a.body, &p)
	return p.Detail
}

func (f *farm) request(g *artifactv1.Grant, method string, body io.Reader, header ...string) *http.Request {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+g.GetUrl(), body)
	if err != nil {
		f.t.Fatal(err)
	}
	for k, v := range g.GetHeaders() {
		req.Header.Set(k, v)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func do(req *http.Request) answer {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body, err}
}

func (f *farm) put(g *artifactv1.Grant, data []byte) answer {
	f.t.Helper()
	return do(f.request(g, http.MethodPut, bytes.NewReader(data)))
}

// putChunked sends without saying how much.
func (f *farm) putChunked(g *artifactv1.Grant, data []byte) answer {
	f.t.Helper()
	return do(f.request(g, http.MethodPut, struct{ io.Reader }{bytes.NewReader(data)}))
}

func (f *farm) get(g *artifactv1.Grant, header ...string) answer {
	f.t.Helper()
	return do(f.request(g, http.MethodGet, nil, header...))
}

// stored uploads and keeps.
func (f *farm) stored(buildID string, k artifactv1.Kind, data []byte) *eventsv1.ObjectRef {
	f.t.Helper()
	g := f.grantUpload(buildID, k)
	if a := f.put(g, data); a.status != http.StatusOK || a.err != nil {
		f.t.Fatalf("PUT = %d %s %v", a.status, a.body, a.err)
	}
	f.keep(g.GetObjectId())
	return f.stat(g.GetObjectId()).GetObject()
}

func (f *farm) keep(ids ...string) {
	f.t.Helper()
	if err := f.call("keep", &artifactv1.KeepRequest{ObjectIds: ids}, &artifactv1.KeepResponse{}); err != nil {
		f.t.Fatalf("keep: %v", err)
	}
}

func (f *farm) stat(id string) *artifactv1.StatResponse {
	f.t.Helper()
	var resp artifactv1.StatResponse
	if err := f.call("stat", &artifactv1.StatRequest{ObjectId: id}, &resp); err != nil {
		f.t.Fatalf("stat: %v", err)
	}
	return &resp
}

func (f *farm) keys() (keys []string) {
	f.t.Helper()
	for info, err := range f.store.List(f.t.Context(), "") {
		if err != nil {
			f.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func (f *farm) rows() (n int) {
	f.t.Helper()
	if err := f.db.Read().QueryRowContext(f.t.Context(), "SELECT count(*) FROM objects").Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// small counts the objects that lie in the table.
func (f *farm) small() (n int) {
	f.t.Helper()
	if err := f.db.Read().QueryRowContext(f.t.Context(), "SELECT count(*) FROM small_objects").Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// raw returns an object's bytes as they lie.
func (f *farm) raw(id string) (data []byte) {
	f.t.Helper()
	var key string
	err := f.db.Read().QueryRowContext(f.t.Context(), "SELECT s3_key FROM objects WHERE id = $1", id).Scan(&key)
	if err == nil && key == "" {
		err = f.db.Read().QueryRowContext(f.t.Context(), "SELECT bytes FROM small_objects WHERE object_id = $1", id).Scan(&data)
	} else if err == nil {
		var r io.ReadCloser
		if r, _, err = f.store.Get(f.t.Context(), key, 0, -1); err == nil {
			data, err = io.ReadAll(r)
			err = errors.Join(err, r.Close())
		}
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return data
}

// large is noise that goes to the object store.
func large() []byte { return noise(api.SmallObject + 1) }

// nothingLeft waits until there is no row and no object.
func (f *farm) nothingLeft() {
	f.t.Helper()
	f.eventually("no row", func() bool { return f.rows() == 0 })
	f.noBytesLeft()
}

// discard takes an object back.
func (f *farm) discard(id string) {
	f.t.Helper()
	if err := f.call("discard", &artifactv1.DiscardRequest{ObjectIds: []string{id}}, &artifactv1.DiscardResponse{}); err != nil {
		f.t.Fatal(err)
	}
}

// noBytesLeft waits until there is no object, finished or not.
func (f *farm) noBytesLeft() {
	f.t.Helper()
	f.eventually("no object", func() bool { return f.small() == 0 && len(f.keys()) == 0 })
	n, err := f.store.AbortStale(f.t.Context(), -time.Hour)
	if errors.Is(err, objects.ErrNoUpload) {
		err = nil // how this endpoint says that there is none
	}
	if err != nil || n != 0 {
		f.t.Errorf("%d incomplete uploads are left (%v)", n, err)
	}
}

func (f *farm) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("not within 20 s: %s\n%s", what, f.log)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// sqlExec changes rows behind the service's back, to let time pass.
func (f *farm) sqlExec(q string, args ...any) {
	f.t.Helper()
	err := f.db.WithTx(f.t.Context(), func(tx *database.Tx) error {
		_, err := tx.ExecContext(f.t.Context(), q, args...)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// noise gives n reproducible bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func zipOf(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	e, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store}) // compressing is slow under the race detector
	if err == nil {
		_, err = e.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func tarGzOf(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	err = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func wantIs(t *testing.T, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("error = %v, want %v", err, sentinel)
	}
}
