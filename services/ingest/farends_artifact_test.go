package ingest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// artifact is the far end that keeps the bytes.
type artifact struct {
	url     string
	limit   int64 // of any object
	mu      sync.Mutex
	objects map[string]*object
	// logs are the archived ones, by build.
	logs map[string]*artifactv1.LogResponse
	// arrived hears of each object whose first bytes came.
	arrived chan string
	headers http.Header // of the last transfer
	// discarding is called before objects are discarded, if set.
	discarding func()
}

type object struct {
	build, name string
	kind        artifactv1.Kind
	data        []byte
	stored      bool
	kept        bool
}

func startArtifact(t testing.TB, nc *nats.Conn) *artifact {
	t.Helper()
	a := &artifact{limit: 1 << 20, objects: map[string]*object{}, logs: map[string]*artifactv1.LogResponse{}, arrived: make(chan string, 100)}
	serve(t, nc, "artifact", func(r *rpc.Service) error {
		return errors.Join(
			rpc.Handle(r, "upload", a.upload), rpc.Handle(r, "store", a.store), rpc.Handle(r, "download", a.download), rpc.Handle(r, "keep", a.keep),
			rpc.Handle(r, "discard", a.discard), rpc.Handle(r, "adopt", a.adopt), rpc.Handle(r, "stat", a.stat),
			rpc.Handle(r, "log", a.log),
		)
	})
	server := httptest.NewServer(a)
	a.url = server.URL
	t.Cleanup(server.Close)
	return a
}

func grant(method, id string) *artifactv1.Grant {
	return &artifactv1.Grant{Method: method, Url: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: id}, ObjectId: id}
}

func (a *artifact) add(o *object) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := build.NewID()
	a.objects[id] = o
	return id
}

func (a *artifact) of(buildID string, kind artifactv1.Kind) *object {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.objects {
		if o.build == buildID && o.kind == kind {
			return o
		}
	}
	return nil
}

// kept reports whether an object of a build was kept; who submits is answered before.
func (a *artifact) kept(buildID string, kind artifactv1.Kind) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.objects {
		if o.build == buildID && o.kind == kind {
			return o.kept
		}
	}
	return false
}

func (a *artifact) upload(_ context.Context, r *artifactv1.UploadRequest) (*artifactv1.UploadResponse, error) {
	id := a.add(&object{build: r.GetBuildId(), name: r.GetName(), kind: r.GetKind()})
	g := grant(http.MethodPut, id)
	g.MaxBytes = a.limit
	return &artifactv1.UploadResponse{Grant: g}, nil
}

// store takes what comes with the request.
func (a *artifact) store(_ context.Context, r *artifactv1.StoreRequest) (*artifactv1.StoreResponse, error) {
	if int64(len(r.GetData())) > a.limit {
		return nil, build.ErrTooLarge
	}
	a.arrived <- r.GetObjectId()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects[r.GetObjectId()] = &object{build: r.GetBuildId(), name: r.GetName(), kind: r.GetKind(), data: r.GetData(), stored: true}
	sum := sha256.Sum256(r.GetData())
	return &artifactv1.StoreResponse{Object: &eventsv1.ObjectRef{
		ObjectId: r.GetObjectId(), Size: int64(len(r.GetData())), Sha256: hex.EncodeToString(sum[:]), Name: r.GetName(),
	}}, nil
}

func (a *artifact) download(_ context.Context, r *artifactv1.DownloadRequest) (*artifactv1.DownloadResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.objects[r.GetObjectId()] == nil {
		return nil, build.ErrObjectNotFound
	}
	return &artifactv1.DownloadResponse{Grant: grant(http.MethodGet, r.GetObjectId())}, nil
}

func (a *artifact) keep(_ context.Context, r *artifactv1.KeepRequest) (*artifactv1.KeepResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range r.GetObjectIds() {
		a.objects[id].kept = true
	}
	return &artifactv1.KeepResponse{}, nil
}

func (a *artifact) discard(_ context.Context, r *artifactv1.DiscardRequest) (*artifactv1.DiscardResponse, error) {
	a.beforeDiscard()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range r.GetObjectIds() {
		delete(a.objects, id)
	}
	return &artifactv1.DiscardResponse{}, nil
}

func (a *artifact) adopt(_ context.Context, r *artifactv1.AdoptRequest) (*artifactv1.AdoptResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	resp := &artifactv1.AdoptResponse{}
	for _, o := range a.objects {
		if o.build != r.GetFromBuildId() || o.kind != artifactv1.Kind_KIND_SOURCE {
			continue
		}
		copied := *o
		copied.build, copied.kept = r.GetToBuildId(), false
		again := build.NewID()
		a.objects[again] = &copied
		resp.Source = &eventsv1.ObjectRef{ObjectId: again, Size: int64(len(o.data)), Name: o.name}
		return resp, nil
	}
	return nil, build.ErrObjectNotFound
}

func (a *artifact) log(_ context.Context, r *artifactv1.LogRequest) (*artifactv1.LogResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.logs[r.GetBuildId()]; l != nil {
		return proto.CloneOf(l), nil
	}
	return &artifactv1.LogResponse{}, nil
}

func (a *artifact) stat(_ context.Context, r *artifactv1.StatRequest) (*artifactv1.StatResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.objects[r.GetObjectId()]
	if o == nil || !o.stored {
		return nil, build.ErrObjectNotFound
	}
	return &artifactv1.StatResponse{
		Object: &eventsv1.ObjectRef{ObjectId: r.GetObjectId(), Size: int64(len(o.data)), Name: o.name}, BuildId: o.build, Kind: o.kind,
	}, nil
}

// ServeHTTP is the data plane.
func (a *artifact) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(api.TicketHeader)
	a.mu.Lock()
	o := a.objects[id]
	a.headers = r.Header.Clone()
	a.mu.Unlock()
	switch {
	case r.URL.Path != api.ObjectsPath || o == nil:
		problem(w, http.StatusForbidden, build.ErrUnauthorized, "no such ticket")
	case r.Method == http.MethodPut:
		a.put(w, r, id, o)
	default:
		a.mu.Lock()
		data := o.data
		a.mu.Unlock()
		w.Header().Set("Etag", `"e"`)
		w.Header().Set("X-Checksum-Sha256", "abc")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

func problem(w http.ResponseWriter, status int, err error, detail string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.Problem{Status: status, Detail: detail, Code: build.Code(err)})
}

// put refuses at the limit, without waiting for the rest.
func (a *artifact) put(w http.ResponseWriter, r *http.Request, id string, o *object) {
	var data bytes.Buffer
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 && data.Len() == 0 {
			a.arrived <- id
		}
		data.Write(buf[:n])
		if int64(data.Len()) > a.limit {
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				panic(err)
			}
			w.Header().Set("Connection", "close")
			problem(w, http.StatusRequestEntityTooLarge, build.ErrTooLarge, "the limit is 1 MB")
			return
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			problem(w, http.StatusBadRequest, build.ErrInvalid, "cut")
			return
		}
	}
	a.mu.Lock()
	o.data, o.stored = data.Bytes(), true
	a.mu.Unlock()
	sum := sha256.Sum256(data.Bytes())
	json.NewEncoder(w).Encode(api.Uploaded{ObjectID: id, Size: int64(data.Len()), SHA256: hex.EncodeToString(sum[:])})
}
