package legacy

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// exporter returns the page that follows a cursor.
type exporter[Resp any] func(ctx context.Context, after string) (Resp, error)

// handleExport answers with a page.
func handleExport[Resp any](a *API, page exporter[Resp]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		resp, err := page(r.Context(), r.URL.Query().Get("after"))
		if err != nil {
			a.Fail(w, r, httpapi.V2, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store") // builds hold tokens
		httpx.WriteJSON(w, http.StatusOK, resp)
	}
}

func (a *API) exportBuilds(ctx context.Context, after string) (legacyapi.ExportedBuilds, error) {
	seq, err := strconv.ParseInt(after, 10, 64)
	if after != "" && err != nil {
		return legacyapi.ExportedBuilds{}, httpx.Refuse(build.ErrInvalid, "after is not the next of an earlier page")
	}
	resp, err := a.scheduler.ExportBuilds(ctx, &schedulerv1.ExportBuildsRequest{AfterSeq: seq})
	if err != nil {
		return legacyapi.ExportedBuilds{}, err
	}
	page := legacyapi.ExportedBuilds{Builds: make([]legacyapi.ExportedBuild, len(resp.GetBuilds()))}
	for i, b := range resp.GetBuilds() {
		page.Builds[i] = a.exportedBuild(b)
	}
	if n := resp.GetNextAfterSeq(); n != 0 {
		page.Next = strconv.FormatInt(n, 10)
	}
	return page, nil
}

// exportedBuild returns a build in the terms of API v1. It leaves out the attempts of a build that has not ended here: the legacy
// controller starts it anew.
func (a *API) exportedBuild(r *schedulerv1.GetResponse) legacyapi.ExportedBuild {
	b := r.GetBuild()
	e := legacyapi.ExportedBuild{
		Build: legacyapi.Build{
			ID: b.GetId(), Platform: b.GetPlatform(), Status: farm.StatusV1(b), SubmittedAt: b.GetSubmittedAtMs(), RetryOf: b.GetRetryOf(),
			Source: b.GetSource().GetSha256(), Certs: b.GetCerts().GetSha256(), Result: b.GetResult().GetSha256(),
			SourceSize: b.GetSource().GetSize(), CertsSize: b.GetCerts().GetSize(), ResultSize: b.GetResult().GetSize(),
		},
		AccessToken: a.Token(b.GetId()),
		SourceID:    b.GetSource().GetObjectId(), CertsID: b.GetCerts().GetObjectId(), ResultID: b.GetResult().GetObjectId(),
	}
	if !build.State(b.GetState()).Final() {
		e.Status = string(build.Pending)
		return e
	}
	e.WorkerID, e.StartedAt, e.CompletedAt, e.Error = b.GetWorkerId(), farm.StartedV1(b), b.GetFinishedAtMs(), farm.ErrorV1(b)
	if i := slices.IndexFunc(r.GetAttempts(), func(a *schedulerv1.Attempt) bool { return a.GetNumber() == b.GetAttempt() }); i >= 0 {
		e.WorkerName = r.GetAttempts()[i].GetWorkerName()
	}
	return e
}

func (a *API) exportWorkers(ctx context.Context, after string) (legacyapi.ExportedWorkers, error) {
	resp, err := a.scheduler.ExportWorkers(ctx, &schedulerv1.ExportWorkersRequest{AfterId: after})
	if err != nil {
		return legacyapi.ExportedWorkers{}, err
	}
	page := legacyapi.ExportedWorkers{Workers: make([]legacyapi.ExportedWorker, len(resp.GetWorkers())), Next: resp.GetNextAfterId()}
	for i, one := range resp.GetWorkers() {
		w := one.GetWorker()
		page.Workers[i] = legacyapi.ExportedWorker{
			Worker: legacyapi.Worker{
				ID: w.GetId(), Name: w.GetName(), Platforms: w.GetPlatforms(), Slots: int(w.GetSlots()), Labels: w.GetLabels(),
				RegisteredAt: w.GetRegisteredAtMs(), SeenAt: w.GetSeenAtMs(),
			},
			Online: w.GetOnline(), Held: int(w.GetHeld()), Completed: one.GetCompleted(), Failed: one.GetFailed(),
		}
	}
	return page, nil
}

func (a *API) exportSnapshots(ctx context.Context, after string) (legacyapi.ExportedSnapshots, error) {
	resp, err := a.monitor.ExportSnapshots(ctx, &monitorv1.ExportSnapshotsRequest{Cursor: after})
	if err != nil {
		return legacyapi.ExportedSnapshots{}, err
	}
	page := legacyapi.ExportedSnapshots{Snapshots: make([]legacyapi.Snapshot, len(resp.GetSnapshots())), Next: resp.GetNext()}
	for i, s := range resp.GetSnapshots() {
		page.Snapshots[i] = legacyapi.Snapshot{
			Number: s.GetNumber(), BuildID: s.GetBuildId(), At: s.GetAtMs(), CPUPercent: s.GetCpuPercent(), MemoryMB: s.GetMemoryMb(),
		}
	}
	return page, nil
}

func (a *API) exportReports(ctx context.Context, after string) (legacyapi.ExportedReports, error) {
	resp, err := a.monitor.ExportReports(ctx, &monitorv1.ExportReportsRequest{AfterId: after})
	if err != nil {
		return legacyapi.ExportedReports{}, err
	}
	page := legacyapi.ExportedReports{Reports: make([]legacyapi.Report, len(resp.GetReports())), Next: resp.GetNextAfterId()}
	for i, r := range resp.GetReports() {
		page.Reports[i] = legacyapi.Report{
			ID: r.GetId(), WorkerID: r.GetWorkerId(), Status: r.GetStatus(), RunAt: r.GetRunAtMs(), DurationMs: r.GetDurationMs(),
			AutoFixed: r.GetAutoFixed(), Checks: r.GetChecksJson(),
		}
	}
	return page, nil
}

// exportFile sends a file of a build to an administrator and logs it. Certificates are sent too: an administrator could get them by
// adding a worker.
func (a *API) exportFile(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	a.Log.InfoContext(r.Context(), "file exported", "object_id", id)
	w.Header().Set("Cache-Control", "no-store")
	a.Download(w, r, id)
}
