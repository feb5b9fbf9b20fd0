package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

func (f *farm) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	if o.Username == "service" {
		c.RegisterUser(&server.User{Username: "service"})
		return true
	}
	f.mu.Lock()
	secret, ok := f.workers[o.Username]
	f.mu.Unlock()
	if !ok || secret != o.Password {
		return false
	}
	id := o.Username
	sub := []string{bus.InboxPrefix(id) + ".>", bus.ControlSubject(id)}
	pub := []string{
		bus.LogSubjectsBy(id), bus.TelemetrySubject(id, "*"), bus.KeySubject(bus.WorkerKey(id)), bus.KeySubject("build." + id + ".*.*"),
		bus.WorkerRequestSubject("artifact", "grant", id),
	}
	for _, verb := range []string{"sync", "claim", "stage", "finish"} {
		pub = append(pub, bus.WorkerRequestSubject("scheduler", verb, id))
	}
	for _, p := range build.Platforms() {
		lane := bus.QueueStream + "." + bus.QueueConsumer(build.DefaultPool, string(p))
		pub = append(pub, "$JS.API.CONSUMER.INFO."+lane, "$JS.API.CONSUMER.MSG.NEXT."+lane, "$JS.ACK."+lane+".>")
		sub = append(sub, bus.WakeSubject(build.DefaultPool, string(p)))
	}
	c.RegisterUser(&server.User{Username: id, Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Allow: pub}, Subscribe: &server.SubjectPermission{Allow: sub},
	}})
	return true
}

func (f *farm) tell() { close(f.changed); f.changed = make(chan struct{}) }

func (f *farm) sync(_ context.Context, _ string, r *schedulerv1.SyncRequest) (*schedulerv1.SyncResponse, error) {
	var lost []*schedulerv1.Lease
	if f.onSync != nil {
		lost = f.onSync(r)
	}
	return &schedulerv1.SyncResponse{Lost: lost, Pace: f.pace}, nil
}

func (f *farm) claim(_ context.Context, worker string, r *schedulerv1.ClaimRequest) (*schedulerv1.ClaimResponse, error) {
	if f.onClaim != nil {
		if err := f.onClaim(worker, r); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.builds[r.GetBuildId()]
	switch {
	case !ok:
		return nil, build.ErrNotFound
	case b.spec.GetAttempt() != r.GetAttempt():
		return nil, build.ErrNotQueued
	case b.holder != "" && b.holder != worker:
		return nil, build.ErrTaken
	}
	b.holder = worker
	b.claims++
	b.claimed = time.Now()
	f.tell()
	return &schedulerv1.ClaimResponse{
		Build: b.spec, TimeoutSeconds: int64(f.timeout / time.Second), StageTtlSeconds: map[string]int32{"prepare": 4, "install": 8},
		MaxTimeoutSeconds: 3600, MaxStageTtlSeconds: 30, Repack: f.repack,
	}, nil
}

func (f *farm) held(worker, id string, attempt int32) (*farmBuild, error) {
	b, ok := f.builds[id]
	if !ok || b.holder != worker || b.spec.GetAttempt() != attempt || b.finish != nil {
		return nil, build.ErrLeaseLost
	}
	return b, nil
}

func (f *farm) stage(_ context.Context, worker string, r *schedulerv1.StageRequest) (*schedulerv1.StageResponse, error) {
	if f.onStage != nil {
		if err := f.onStage(r); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.held(worker, r.GetBuildId(), r.GetAttempt())
	if err != nil {
		return nil, err
	}
	b.stages = append(b.stages, r.GetStage())
	b.asked = r
	f.tell()
	return &schedulerv1.StageResponse{}, nil
}

func (f *farm) finish(_ context.Context, worker string, r *schedulerv1.FinishRequest) (*schedulerv1.FinishResponse, error) {
	if f.onFinish != nil {
		if err := f.onFinish(r); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.held(worker, r.GetBuildId(), r.GetAttempt())
	if err != nil {
		return nil, err
	}
	b.finish = proto.Clone(r).(*schedulerv1.FinishRequest)
	f.tell()
	return &schedulerv1.FinishResponse{Build: b.spec}, nil
}

func (f *farm) grant(_ context.Context, worker string, r *artifactv1.WorkerGrantRequest) (*artifactv1.WorkerGrantResponse, error) {
	if f.onGrant != nil {
		if err := f.onGrant(r); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.held(worker, r.GetBuildId(), r.GetAttempt())
	if err != nil {
		return nil, err
	}
	if r.GetKind() == artifactv1.Kind_KIND_VARIABLES {
		return f.sealVariables(b.spec.GetProject(), r)
	}
	if r.GetKind() == artifactv1.Kind_KIND_CACHE {
		if f.onCache == nil {
			return &artifactv1.WorkerGrantResponse{Cache: &artifactv1.CacheAnswer{}}, nil
		}
		return f.onCache(r), nil
	}
	object, method := b.spec.GetSource(), http.MethodGet
	if r.GetKind() == artifactv1.Kind_KIND_REPACK_SOURCE {
		object = f.repack.GetResult()
	}
	id := object.GetObjectId()
	if r.GetKind() == artifactv1.Kind_KIND_RESULT || r.GetKind() == artifactv1.Kind_KIND_ARTIFACTS {
		id, method = build.NewID()+"."+r.GetName(), http.MethodPut
	}
	return &artifactv1.WorkerGrantResponse{Grant: &artifactv1.Grant{
		Method: method, Url: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: id}, ObjectId: id, Object: object,
	}}, nil
}

func (f *farm) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if f.onHTTP != nil && f.onHTTP(w, r) {
		return
	}
	ticket := r.Header.Get(api.TicketHeader)
	switch {
	case r.URL.Path == api.Path+"/workers":
		f.join(w, r)
	case r.URL.Path == api.ObjectsPath && r.Method == http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.objects[ticket] = data
		f.mu.Unlock()
		_ = json.NewEncoder(w).Encode(api.Uploaded{ObjectID: ticket, Size: int64(len(data)), SHA256: sum(data)})
	case r.URL.Path == api.ObjectsPath:
		f.mu.Lock()
		data := f.objects[ticket]
		f.mu.Unlock()
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	default:
		http.NotFound(w, r)
	}
}

func (f *farm) join(w http.ResponseWriter, r *http.Request) {
	var req api.JoinRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	f.mu.Lock()
	defer f.mu.Unlock()
	id, secret := req.WorkerID, req.Secret
	if f.workers[id] == "" || f.workers[id] != secret {
		id, secret = build.NewID(), build.NewID()
		f.workers[id] = secret
	}
	_ = json.NewEncoder(w).Encode(api.JoinResponse{
		WorkerID: id, Secret: secret, BusURL: f.url(), Pool: build.DefaultPool, Platforms: []string{"ios", "android"},
	})
}
