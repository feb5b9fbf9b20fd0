package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// serve answers fa.<name>.* until the test ends.
func serve(t testing.TB, nc *nats.Conn, name string, add func(*rpc.Service) error) {
	t.Helper()
	r, err := rpc.NewService(nc, name, "1.0.0", slog.New(slog.DiscardHandler))
	if err == nil {
		err = errors.Join(add(r), nc.Flush())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// scheduler is the far end that knows the builds.
type scheduler struct {
	mu      sync.Mutex
	builds  []*schedulerv1.Build
	workers map[string]*schedulerv1.RegisterWorkerRequest
	notes   map[string][]string // by build
	// attempts are who held them, by build; one of its worker's, if nothing is said.
	attempts map[string][]*schedulerv1.Attempt
	fault    error // of submit
	// traces are what is left of builds that have expired.
	traces map[string]*schedulerv1.ExpiredBuild
	// loseAnswers is how many submits are stored whose answers do not arrive.
	loseAnswers int
	// submitting is called while a submit is under way, if set.
	submitting func()
	// hooks are in farends_certs_test.go.
	hooks
}

func startScheduler(t testing.TB, nc *nats.Conn) *scheduler {
	t.Helper()
	s := &scheduler{workers: map[string]*schedulerv1.RegisterWorkerRequest{}, attempts: map[string][]*schedulerv1.Attempt{}}
	serve(t, nc, "scheduler", func(r *rpc.Service) error {
		return errors.Join(
			rpc.Handle(r, "submit", s.submit), rpc.Handle(r, "get", s.get), rpc.Handle(r, "list", s.list),
			rpc.Handle(r, "cancel", s.cancel), rpc.Handle(r, "summary", s.summary), rpc.Handle(r, "register_worker", s.register),
			rpc.Handle(r, "list_rules", s.listRules),
		)
	})
	return s
}

func (s *scheduler) find(id string) *schedulerv1.Build {
	i := slices.IndexFunc(s.builds, func(b *schedulerv1.Build) bool { return b.GetId() == id })
	if i < 0 {
		return nil
	}
	return s.builds[i]
}

// set changes a build as if it had been worked on.
func (s *scheduler) set(id string, f func(*schedulerv1.Build)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.find(id))
}

func (s *scheduler) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

func (s *scheduler) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.builds)
}

func (s *scheduler) notesOf(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[id]
}

func (s *scheduler) submit(_ context.Context, r *schedulerv1.SubmitRequest) (*schedulerv1.SubmitResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	if s.submitting != nil {
		s.submitting()
	}
	if b := s.find(r.GetBuildId()); b != nil {
		if b.GetSource().GetObjectId() != r.GetSource().GetObjectId() {
			return nil, fmt.Errorf("%w: build id %s is in use", build.ErrInvalid, b.GetId())
		}
		return &schedulerv1.SubmitResponse{Build: proto.CloneOf(b), Replayed: true}, nil
	}
	if s.traces[r.GetBuildId()] != nil {
		return nil, build.ErrExpired
	}
	pool := r.GetPool()
	if pool == "" {
		pool = build.DefaultPool
	}
	b := &schedulerv1.Build{
		Id: r.GetBuildId(), Project: r.GetProject(), Platform: r.GetPlatform(), Pool: pool, Priority: boundPriority(r), Profile: r.GetProfile(),
		Source: r.GetSource(), Certs: r.GetCerts(), RetryOf: r.GetRetryOf(), State: "pending", Attempt: 1,
		SubmittedAtMs: time.Now().UnixMilli(), Seq: int64(len(s.builds) + 1), Origin: r.GetOrigin(), Settings: r.GetSettings(),
	}
	s.builds = append(s.builds, b)
	if s.notes == nil {
		s.notes = map[string][]string{}
	}
	s.notes[b.GetId()] = r.GetNotes()
	s.afterSubmit(b)
	if s.loseAnswers > 0 {
		s.loseAnswers--
		return nil, build.ErrUnavailable
	}
	return &schedulerv1.SubmitResponse{Build: proto.CloneOf(b), Warnings: []string{"nobody builds this yet"}}, nil
}

// The scheduler's default range of priorities, and that of the project "shop".
const maxPriority, minPriority, shopPriority = 10, -100, 5

func boundPriority(r *schedulerv1.SubmitRequest) int32 {
	limit := int32(maxPriority)
	if r.GetProject() == "shop" {
		limit = shopPriority
	}
	return min(max(r.GetPriority(), minPriority), limit)
}

func (s *scheduler) listRules(context.Context, *schedulerv1.ListRulesRequest) (*schedulerv1.ListRulesResponse, error) {
	return &schedulerv1.ListRulesResponse{
		Projects: []*schedulerv1.ProjectRule{{Project: "shop", MaxPriority: new(int32(shopPriority))}}, DefaultMaxPriority: maxPriority,
	}, nil
}

func (s *scheduler) get(_ context.Context, r *schedulerv1.GetRequest) (*schedulerv1.GetResponse, error) {
	s.beforeGet()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.traces[r.GetBuildId()]; t != nil && r.GetExpired() {
		return &schedulerv1.GetResponse{Expired: t}, nil
	}
	b := s.find(r.GetBuildId())
	if b == nil {
		return nil, build.ErrNotFound
	}
	attempts := s.attempts[b.GetId()]
	if attempts == nil {
		attempts = []*schedulerv1.Attempt{{Number: 1, WorkerId: b.GetWorkerId(), Outcome: "running"}}
	}
	return &schedulerv1.GetResponse{Build: proto.CloneOf(b), Attempts: attempts}, nil
}

// list gives small pages, so that the gateway has to ask again.
func (s *scheduler) list(_ context.Context, r *schedulerv1.ListRequest) (*schedulerv1.ListResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &schedulerv1.ListResponse{}
	for _, b := range slices.Backward(s.builds) {
		switch {
		case r.GetBeforeSeq() > 0 && b.GetSeq() >= r.GetBeforeSeq(), len(r.GetStates()) > 0 && !slices.Contains(r.GetStates(), b.GetState()):
		case len(resp.GetBuilds()) == int(min(r.GetLimit(), 2)):
			resp.NextBeforeSeq = resp.GetBuilds()[len(resp.GetBuilds())-1].GetSeq()
			return resp, nil
		default:
			resp.Builds = append(resp.Builds, proto.CloneOf(b))
		}
	}
	return resp, nil
}

func (s *scheduler) cancel(_ context.Context, r *schedulerv1.CancelRequest) (*schedulerv1.CancelResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.find(r.GetBuildId())
	switch {
	case b == nil:
		return nil, build.ErrNotFound
	case build.State(b.GetState()).Final():
		return nil, build.ErrFinished
	}
	if err := s.beforeCancel(r); err != nil {
		return nil, err
	}
	b.State, b.FinishedAtMs = "cancelled", time.Now().UnixMilli()
	return &schedulerv1.CancelResponse{Build: proto.CloneOf(b)}, nil
}

func (s *scheduler) summary(context.Context, *schedulerv1.SummaryRequest) (*schedulerv1.SummaryResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &schedulerv1.SummaryResponse{Pending: int64(len(s.builds)), Active: 0, Total: int64(len(s.builds))}, nil
}

func (s *scheduler) register(_ context.Context, r *schedulerv1.RegisterWorkerRequest) (*schedulerv1.RegisterWorkerResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.GetName() == "" {
		return nil, build.ErrInvalid
	}
	s.workers[r.GetWorkerId()] = r
	return &schedulerv1.RegisterWorkerResponse{}, nil
}

func (a *artifact) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.objects)
}
