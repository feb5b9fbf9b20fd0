package ingest

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func viewV2(b *schedulerv1.Build, attempts []*schedulerv1.Attempt) api.Build {
	v := api.Build{
		ID: b.GetId(), Project: b.GetProject(), Platform: b.GetPlatform(), Pool: b.GetPool(), Profile: b.GetProfile(),
		Status: b.GetState(), Attempt: int(b.GetAttempt()), Stage: b.GetStage(), WorkerID: b.GetWorkerId(),
		WorkerName: b.GetWorkerName(), Priority: int(b.GetPriority()), Error: b.GetError(), WaitingFor: b.GetWaitingFor(),
		Position: int(b.GetPosition()), ExpectedStart: httpapi.Time(b.GetExpectedStartMs()), RetryOf: b.GetRetryOf(), SubmittedAt: httpapi.Time(b.GetSubmittedAtMs()),
		AssignedAt: httpapi.Time(b.GetAssignedAtMs()), StartedAt: httpapi.Time(b.GetStartedAtMs()), FinishedAt: httpapi.Time(b.GetFinishedAtMs()),
		Repository: b.GetOrigin().GetRepository(), Commit: b.GetOrigin().GetCommit(), Branch: b.GetOrigin().GetBranch(),
		Source: objectV2(b.GetSource()), Result: objectV2(b.GetResult()),
	}
	for _, a := range attempts {
		v.Attempts = append(v.Attempts, api.Attempt{
			Number: int(a.GetNumber()), WorkerID: a.GetWorkerId(), WorkerName: a.GetWorkerName(), Outcome: a.GetOutcome(),
			Error: a.GetError(), ClaimedAt: httpapi.Time(a.GetClaimedAtMs()), StartedAt: httpapi.Time(a.GetStartedAtMs()), EndedAt: httpapi.Time(a.GetEndedAtMs()),
		})
	}
	return v
}

func objectV2(o *eventsv1.ObjectRef) *api.Object {
	if o.GetObjectId() == "" {
		return nil
	}
	return &api.Object{Name: o.GetName(), Size: o.GetSize(), SHA256: o.GetSha256()}
}

func (g *Ingest) submitV2(w http.ResponseWriter, r *http.Request) {
	if resp := g.takeSubmit(w, r); resp != nil {
		g.created(w, resp)
	}
}

// takeSubmit answers a refusal itself and returns nil then.
func (g *Ingest) takeSubmit(w http.ResponseWriter, r *http.Request) *schedulerv1.SubmitResponse {
	b := httpapi.NewBody(w, r, g.cfg.MaxUploadBytes)
	b.EnableFullDuplex()
	resp, replayed, err := g.submits.Submit(r, b, httpapi.V2)
	if err != nil {
		g.FailEarly(w, r, httpapi.V2, b, err)
		return nil
	}
	if replayed {
		w.Header().Set(submit.ReplayHeader, "true")
	}
	return resp
}

func (g *Ingest) submitted(resp *schedulerv1.SubmitResponse) api.Submitted {
	b := resp.GetBuild()
	return api.Submitted{Build: viewV2(b, nil), AccessToken: g.auth.Token(b.GetId()), Warnings: resp.GetWarnings(), Superseded: resp.GetSuperseded()}
}

func (g *Ingest) created(w http.ResponseWriter, resp *schedulerv1.SubmitResponse) {
	w.Header().Set("Location", api.Path+"/builds/"+resp.GetBuild().GetId())
	httpapi.WriteJSON(w, http.StatusCreated, g.submitted(resp))
}

func (g *Ingest) retryV2(w http.ResponseWriter, r *http.Request) {
	resp, replayed, err := g.submits.RetryOnce(r, chi.URLParam(r, "id"))
	if replayed {
		w.Header().Set(submit.ReplayHeader, "true")
	}
	if err != nil {
		g.Fail(w, r, httpapi.V2, err)
		return
	}
	g.created(w, resp)
}

func (g *Ingest) cancelV2(w http.ResponseWriter, r *http.Request) {
	b, err := g.farm.Cancel(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		g.Fail(w, r, httpapi.V2, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, viewV2(b, nil))
}

func (g *Ingest) getV2(w http.ResponseWriter, r *http.Request) {
	resp, err := g.farm.BuildWithAttempts(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		g.Fail(w, r, httpapi.V2, err)
		return
	}
	v := viewV2(resp.GetBuild(), resp.GetAttempts())
	v.Pin = viewPin(resp.GetPin())
	if v.Final() {
		v.Log = g.logV2(r.Context(), v.ID)
	}
	writeTagged(w, r, v)
}

func (g *Ingest) resultV2(w http.ResponseWriter, r *http.Request) {
	resp, err := g.farm.BuildWithAttempts(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		g.Fail(w, r, httpapi.V2, err)
		return
	}
	b := resp.GetBuild()
	if build.State(b.GetState()) != build.Completed {
		g.Fail(w, r, httpapi.V2, httpapi.Refuse(httpapi.ErrConflict, "The build is %s and has no result", b.GetState()))
		return
	}
	g.objects.Download(w, r, httpapi.V2, b.GetResult().GetObjectId(), b.GetResult().GetName())
}
