package v2

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// statsDays is the default number of days.
const statsDays = 30

func (h statistics) stats(w http.ResponseWriter, r *http.Request) {
	stats, err := h.days(r)
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	writeWithETag(w, r, stats)
}

func (h statistics) days(r *http.Request) (s api.Stats, err error) {
	req, err := statsQuery(r.URL.Query(), time.Now().UTC())
	if err != nil {
		return s, err
	}
	resp, err := h.Farm.Monitor.Stats(r.Context(), req)
	if err != nil {
		return s, err
	}
	s = api.Stats{
		From: req.GetFromDay(), To: req.GetToDay(), Project: req.GetProject(), Total: dayOf(resp.GetTotal()),
		Days: make([]api.DayStats, len(resp.GetDays())), Stages: []api.StageStats{}, Workers: []api.WorkerStats{},
	}
	for i, d := range resp.GetDays() {
		s.Days[i] = dayOf(d)
	}
	for _, x := range resp.GetStages() {
		s.Stages = append(s.Stages, api.StageStats{Stage: x.GetStage(), Duration: spreadOf(x.GetDuration())})
	}
	if len(resp.GetWorkers()) == 0 {
		return s, nil
	}
	workers, err := h.Farm.Scheduler.ListWorkers(r.Context(), &schedulerv1.ListWorkersRequest{})
	if err != nil {
		return s, err
	}
	for _, x := range resp.GetWorkers() {
		s.Workers = append(s.Workers, workerOf(x, workers.GetWorkers(), req, time.Now()))
	}
	return s, nil
}

// workerOf adds the utilisation of a worker's slots since the first day or its registration. A
// worker that is no longer listed has none.
func workerOf(x *monitorv1.WorkerStats, known []*schedulerv1.Worker, req *monitorv1.StatsRequest, now time.Time) api.WorkerStats {
	s := api.WorkerStats{ID: x.GetWorkerId(), Attempts: x.GetAttempts(), BusyMs: x.GetBusyMs()}
	i := slices.IndexFunc(known, func(w *schedulerv1.Worker) bool { return w.GetId() == x.GetWorkerId() })
	if i < 0 {
		return s
	}
	from, err1 := time.Parse(time.DateOnly, req.GetFromDay())
	to, err2 := time.Parse(time.DateOnly, req.GetToDay())
	if err1 != nil || err2 != nil {
		return s
	}
	if to = to.AddDate(0, 0, 1); to.After(now) {
		to = now
	}
	if since := time.UnixMilli(known[i].GetRegisteredAtMs()); since.After(from) {
		from = since
	}
	s.Name = known[i].GetName()
	if slots := int64(known[i].GetSlots()) * to.Sub(from).Milliseconds(); slots > 0 {
		u := min(1, float64(x.GetBusyMs())/float64(slots))
		s.Utilisation = &u
	}
	return s
}

func dayOf(d *monitorv1.DayStats) api.DayStats {
	s := api.DayStats{
		Day: d.GetDay(), Submitted: d.GetSubmitted(), Completed: d.GetCompleted(), Failed: d.GetFailed(), Cancelled: d.GetCancelled(),
		LostAttempts: d.GetLostAttempts(), Duration: spreadOf(d.GetDuration()), QueueWait: spreadOf(d.GetQueueWait()),
	}
	if n := d.GetCompleted() + d.GetFailed(); n > 0 {
		rate := float64(d.GetCompleted()) / float64(n)
		s.SuccessRate = &rate
	}
	return s
}

func spreadOf(s *monitorv1.Spread) *api.Spread {
	if s.GetCount() == 0 {
		return nil
	}
	return &api.Spread{Count: s.GetCount(), MeanMs: s.GetMeanMs(), P50Ms: s.GetP50Ms(), P95Ms: s.GetP95Ms()}
}

// statsQuery parses the query. It refuses unknown parameters.
func statsQuery(q url.Values, now time.Time) (*monitorv1.StatsRequest, error) {
	for name := range q {
		if !slices.Contains([]string{"from", "to", "project"}, name) {
			return nil, httpx.Refuse(build.ErrInvalid, "No such parameter: %.40q", name)
		}
	}
	req := &monitorv1.StatsRequest{FromDay: q.Get("from"), ToDay: q.Get("to"), Project: q.Get("project")}
	if req.GetToDay() == "" {
		req.ToDay = now.Format(time.DateOnly)
	}
	to, err := time.Parse(time.DateOnly, req.GetToDay())
	if err != nil {
		return nil, httpx.Refuse(build.ErrInvalid, "to must be a day such as 2026-11-26 (got %.20q)", req.GetToDay())
	}
	if req.GetFromDay() == "" {
		req.FromDay = to.AddDate(0, 0, 1-statsDays).Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, req.GetFromDay()); err != nil {
		return nil, httpx.Refuse(build.ErrInvalid, "from must be a day such as 2026-11-26 (got %.20q)", req.GetFromDay())
	}
	return req, nil
}

func (h statistics) rebuildStats(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.Monitor.RebuildStats(r.Context(), &monitorv1.RebuildStatsRequest{})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusAccepted, api.Rebuilt{From: resp.GetFromDay()})
}

// usageTimeout bounds an optional request to the monitor.
const usageTimeout = time.Second

// workersHealth returns the health of workers by id, nil if the monitor is unavailable. It is
// optional in lists of workers.
func (h *API) workersHealth(ctx context.Context, ids ...string) map[string]*api.Health {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	resp, err := h.Farm.Monitor.Health(ctx, &monitorv1.HealthRequest{WorkerIds: ids})
	if err != nil {
		h.Log.DebugContext(ctx, "read health of workers failed", "err", err)
		return nil
	}
	all := make(map[string]*api.Health, len(resp.GetWorkers()))
	for _, h := range resp.GetWorkers() {
		all[h.GetWorkerId()] = &api.Health{
			Score: int(h.GetScore()), LatestStatus: h.GetLatestStatus(), LatestAt: httpapi.Time(h.GetLatestAtMs()), Reports: int(h.GetReports()),
		}
	}
	return all
}

func (h workers) reports(w http.ResponseWriter, r *http.Request) {
	stored, err := h.Farm.Reports(r.Context(), chi.URLParam(r, "id"), farm.MaxReports)
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	list := api.ReportList{Reports: make([]api.Report, len(stored))}
	for i, s := range stored {
		list.Reports[i] = api.Report{
			ID: s.GetId(), Status: s.GetStatus(), At: httpapi.Time(s.GetRunAtMs()), DurationMs: s.GetDurationMs(), AutoFixed: s.GetAutoFixed(),
			Checks: s.GetChecksJson(),
		}
	}
	writeWithETag(w, r, list)
}
