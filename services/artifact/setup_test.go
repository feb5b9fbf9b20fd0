package artifact_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

const (
	source = artifactv1.Kind_KIND_SOURCE
	certs  = artifactv1.Kind_KIND_CERTS
	result = artifactv1.Kind_KIND_RESULT
)

// farm is a running artifact service with real neighbours: bus, database, S3 endpoint. The scheduler, the far end of a
// wire, is played by the test.
type farm struct {
	t         *testing.T
	bus       *bustest.Server
	conn      *nats.Conn
	db        *database.DB
	store     objects.Store
	scheduler *scheduler
	service   *artifact.Service
	url       string
	log       *logBuffer
	cfg       artifact.Config
	stop      func() error
}

type option struct {
	config func(*artifact.Config)
	free   func() (uint64, error)
	wrap   func(objects.Store) objects.Store
}

func setup(t *testing.T, opts ...option) *farm {
	t.Helper()
	f := &farm{t: t, bus: bustest.Start(t), db: databasetest.Open(t, databasetest.SQLite(t)), log: &logBuffer{}}
	f.conn = f.bus.Connect("artifact")
	f.store = newS3(t)
	f.scheduler = startScheduler(t, f.bus.Connect("scheduler"))
	f.cfg = artifact.DefaultConfig()
	f.cfg.TicketKey, f.cfg.MasterKey = bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	f.cfg.JanitorInterval = 20 * time.Millisecond
	f.cfg.ReserveBytes = 0
	deps := artifact.Deps{DB: f.db, Store: f.store, Conn: f.conn, Log: slog.New(slog.NewTextHandler(f.log, nil))}
	for _, o := range opts {
		if o.config != nil {
			o.config(&f.cfg)
		}
		if o.wrap != nil {
			deps.Store = o.wrap(f.store)
		}
		deps.FreeSpace = o.free
	}
	f.start(deps)
	return f
}

func (f *farm) start(deps artifact.Deps) {
	f.t.Helper()
	service, err := artifact.New(f.cfg, deps)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	f.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	select {
	case <-service.Ready():
	case err := <-ended:
		f.t.Fatalf("Run = %v before it was ready", err)
	}
	server := httptest.NewServer(service.Handler())
	f.service, f.url = service, server.URL
	f.t.Cleanup(func() {
		if err := f.stop(); err != nil {
			f.t.Errorf("Run = %v", err)
		}
		server.CloseClientConnections()
		server.Close()
	})
}

// newS3 starts an S3 endpoint of the test's own.
func newS3(t *testing.T) objects.Store {
	t.Helper()
	// TLS, because this endpoint does not understand the signed chunks that are sent without.
	server := httptest.NewUnstartedServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	s, err := objects.New(objects.Config{
		Endpoint: strings.TrimPrefix(server.URL, "https://"), AccessKey: "a", SecretKey: "b", Bucket: "farm",
		Secure: true, Transport: server.Client().Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return s
}

// scheduler answers what the artifact service asks of the scheduler.
type scheduler struct {
	mu      sync.Mutex
	builds  map[string]*schedulerv1.Build
	holders map[string]string // build -> worker
	fault   error
}

func startScheduler(t *testing.T, nc *nats.Conn) *scheduler {
	t.Helper()
	s := &scheduler{builds: map[string]*schedulerv1.Build{}, holders: map[string]string{}}
	r, err := rpc.NewService(nc, "scheduler", "1.0.0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(rpc.Handle(r, "check_lease", s.checkLease), rpc.Handle(r, "get", s.get), nc.Flush())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *scheduler) set(b *schedulerv1.Build, holder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builds[b.GetId()], s.holders[b.GetId()] = b, holder
}

func (s *scheduler) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

func (s *scheduler) checkLease(_ context.Context, r *schedulerv1.CheckLeaseRequest) (*schedulerv1.CheckLeaseResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.builds[r.GetBuildId()]
	if b == nil {
		return nil, build.ErrNotFound
	}
	if s.holders[b.GetId()] != r.GetWorkerId() || b.GetAttempt() != r.GetAttempt() {
		return nil, build.ErrLeaseLost
	}
	return &schedulerv1.CheckLeaseResponse{Build: b}, s.fault
}

func (s *scheduler) get(_ context.Context, r *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	if b := s.builds[r.GetBuildId()]; b != nil {
		return &schedulerv1.GetResponse{Build: b}, nil
	}
	return nil, build.ErrNotFound
}

// logBuffer collects the log, to show that no secret is in it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

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

// nothingLeft waits until there is no row and no object.
func (f *farm) nothingLeft() {
	f.t.Helper()
	f.eventually("no row and no object", func() bool { return f.rows() == 0 && len(f.keys()) == 0 })
	n, err := f.store.AbortStale(f.t.Context(), -time.Hour)
	if minio.ToErrorResponse(errors.Unwrap(err)).Code == minio.NoSuchUpload {
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
	e, err := w.Create(name)
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
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg})
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
