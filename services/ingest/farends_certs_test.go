package ingest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// noise does not compress.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// figures is what the scheduler and the monitor know of the whole farm.
type figures struct {
	mu      sync.Mutex
	stats   *schedulerv1.StatsResponse
	fault   error
	asked   atomic.Int32
	workers []string
	usage   *monitorv1.UsageResponse
	reports []*monitorv1.Report
	// asking is called while the scheduler is asked for the figures, if set.
	asking func()
}

// playFigures answers for both; the monitor until stop is called.
func playFigures(t *testing.T, f *farm) (far *figures, stop func()) {
	t.Helper()
	far = &figures{
		stats: &schedulerv1.StatsResponse{WorkersOnline: 3, Waiting: 5, Active: 2, CompletedToday: 7, Ended: 100, BuildMs: 3_600_500},
		usage: &monitorv1.UsageResponse{MeanCpuPercent: 250, Samples: 4}, workers: []string{"w1", "w2"},
	}
	serve(t, f.bus.Connect("scheduler"), "scheduler", func(r *rpc.Service) error {
		return errors.Join(rpc.Handle(r, "stats", far.getStats), rpc.Handle(r, "get_worker", far.getWorker))
	})
	nc := f.bus.Connect("monitor")
	serve(t, nc, "monitor", func(r *rpc.Service) error {
		return errors.Join(rpc.Handle(r, "usage", far.getUsage), rpc.Handle(r, "add_report", far.addReport), rpc.Handle(r, "list_reports", far.listReports))
	})
	return far, nc.Close
}

func (f *figures) set(change func(*figures)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *figures) getStats(context.Context, *schedulerv1.StatsRequest) (*schedulerv1.StatsResponse, error) {
	f.asked.Add(1)
	f.mu.Lock()
	asking := f.asking
	f.mu.Unlock()
	if asking != nil {
		asking()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats, f.fault
}

func (f *figures) getWorker(_ context.Context, r *schedulerv1.GetWorkerRequest) (*schedulerv1.GetWorkerResponse, error) {
	if !slices.Contains(f.workers, r.GetWorkerId()) {
		return nil, build.ErrWorkerUnknown
	}
	return &schedulerv1.GetWorkerResponse{Worker: &schedulerv1.Worker{Id: r.GetWorkerId()}}, nil
}

func (f *figures) getUsage(context.Context, *monitorv1.UsageRequest) (*monitorv1.UsageResponse, error) {
	return f.usage, nil
}

func (f *figures) addReport(_ context.Context, r *monitorv1.AddReportRequest) (*monitorv1.AddReportResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := r.GetReport()
	p.Id, p.RunAtMs = build.NewID(), int64(1_700_000_000_000+len(f.reports))
	f.reports = append(f.reports, p)
	return &monitorv1.AddReportResponse{Id: p.GetId()}, nil
}

func (f *figures) listReports(_ context.Context, r *monitorv1.ListReportsRequest) (*monitorv1.ListReportsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	resp := &monitorv1.ListReportsResponse{}
	for _, p := range slices.Backward(f.reports) {
		if p.GetWorkerId() == r.GetWorkerId() && len(resp.GetReports()) < int(r.GetLimit()) {
			resp.Reports = append(resp.Reports, p)
		}
	}
	return resp, nil
}

// hooks are what a test does in the middle of the scheduler's work; they belong to its lock.
type hooks struct {
	// submitted is called with each new build's id before the answer; getting before a build is
	// given.
	submitted func(id string)
	getting   func()
	// firstState is the state of new builds, if not empty.
	firstState  string
	cancelFault error
	reasons     map[string]string
}

func (s *scheduler) hook(change func(*hooks)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.hooks)
}

func (s *scheduler) onSubmitted(f func(id string)) { s.hook(func(h *hooks) { h.submitted = f }) }
func (s *scheduler) onGet(f func())                { s.hook(func(h *hooks) { h.getting = f }) }
func (s *scheduler) born(state string)             { s.hook(func(h *hooks) { h.firstState = state }) }
func (s *scheduler) failCancel(err error)          { s.hook(func(h *hooks) { h.cancelFault = err }) }

func (s *scheduler) whyCancelled(id string) (why string) {
	s.hook(func(h *hooks) { why = h.reasons[id] })
	return why
}

// afterSubmit holds the lock.
func (s *scheduler) afterSubmit(b *schedulerv1.Build) {
	if s.firstState != "" {
		b.State = s.firstState
	}
	if s.submitted != nil {
		s.submitted(b.GetId())
	}
}

func (s *scheduler) beforeGet() {
	s.mu.Lock()
	getting := s.getting
	s.mu.Unlock()
	if getting != nil {
		getting()
	}
}

// beforeCancel holds the lock.
func (s *scheduler) beforeCancel(r *schedulerv1.CancelRequest) error {
	if s.cancelFault == nil {
		if s.reasons == nil {
			s.reasons = map[string]string{}
		}
		s.reasons[r.GetBuildId()] = r.GetReason()
	}
	return s.cancelFault
}

func (a *artifact) onDiscard(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.discarding = f
}

func (a *artifact) beforeDiscard() {
	a.mu.Lock()
	discarding := a.discarding
	a.mu.Unlock()
	if discarding != nil {
		discarding()
	}
}
