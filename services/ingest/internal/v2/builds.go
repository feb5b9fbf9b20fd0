package v2

import (
	"cmp"
	"net/http"

	"github.com/go-chi/chi/v5"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// View returns the API v2 representation of a build.
func View(b *schedulerv1.Build, attempts []*schedulerv1.Attempt) api.Build {
	v := api.Build{
		ID: b.GetId(), Project: b.GetProject(), Platform: b.GetPlatform(), Pool: b.GetPool(), Profile: b.GetProfile(),
		Status: b.GetState(), Attempt: int(b.GetAttempt()), Stage: b.GetStage(), WorkerID: b.GetWorkerId(),
		WorkerName: b.GetWorkerName(), Priority: int(b.GetPriority()), Error: b.GetError(), WaitingFor: b.GetWaitingFor(),
		Position: int(b.GetPosition()), ExpectedStart: httpapi.Time(b.GetExpectedStartMs()), RetryOf: b.GetRetryOf(), SubmittedAt: httpapi.Time(b.GetSubmittedAtMs()),
		AssignedAt: httpapi.Time(b.GetAssignedAtMs()), StartedAt: httpapi.Time(b.GetStartedAtMs()), FinishedAt: httpapi.Time(b.GetFinishedAtMs()),
		Repository: b.GetOrigin().GetRepository(), Commit: b.GetOrigin().GetCommit(), Branch: b.GetOrigin().GetBranch(),
		Settings: build.Settings{
			AppPath: b.GetSettings().GetAppPath(), Modified: b.GetSettings().GetModified(), Username: b.GetSettings().GetUsername(),
			BuildNumber: b.GetSettings().GetBuildNumber(), Requires: build.Requirements(b.GetSettings().GetRequires()),
			RepackFrom: b.GetSettings().GetRepackFrom(),
		},
		Source: viewObject(b.GetSource()), Result: viewObject(b.GetResult()), Artifacts: viewArtifacts(b.GetArtifacts()),
		Reuses: b.GetReuses(), LastReusedAt: httpapi.Time(b.GetLastReusedAtMs()), Fingerprint: b.GetFingerprint(),
	}
	if v.RepackFrom != "" {
		v.Signing = build.RepackSigning(build.Platform(v.Platform))
	}
	for _, a := range attempts {
		v.Attempts = append(v.Attempts, api.Attempt{
			Number: int(a.GetNumber()), WorkerID: a.GetWorkerId(), WorkerName: a.GetWorkerName(), Outcome: a.GetOutcome(),
			Error: a.GetError(), ClaimedAt: httpapi.Time(a.GetClaimedAtMs()), StartedAt: httpapi.Time(a.GetStartedAtMs()), EndedAt: httpapi.Time(a.GetEndedAtMs()),
		})
	}
	return v
}

// viewWhole is View with what lists do not have.
func viewWhole(resp *schedulerv1.GetResponse) api.Build {
	v := View(resp.GetBuild(), resp.GetAttempts())
	v.Pin = viewPin(resp.GetPin())
	for _, u := range resp.GetReuses() {
		v.LastReuses = append(v.LastReuses, api.Reuse{At: httpapi.Time(u.GetAtMs()), Commit: u.GetCommit(), Branch: u.GetBranch(), Username: u.GetUsername()})
	}
	return v
}

func viewObject(o *eventsv1.ObjectRef) *api.Object {
	if o.GetObjectId() == "" {
		return nil
	}
	return &api.Object{Name: o.GetName(), Size: o.GetSize(), SHA256: o.GetSha256()}
}

func viewArtifacts(a *schedulerv1.BuildArtifacts) *api.Artifacts {
	if a == nil {
		return nil
	}
	o := a.GetObject()
	return &api.Artifacts{Name: o.GetName(), Size: o.GetSize(), SHA256: o.GetSha256(), Files: int(a.GetFiles()), Problem: a.GetProblem()}
}

func (h builds) submit(w http.ResponseWriter, r *http.Request) {
	if resp := h.receiveSubmit(w, r); resp != nil {
		h.created(w, resp)
	}
}

// receiveSubmit submits the build of a request. On an error it writes the response and returns nil.
func (h builds) receiveSubmit(w http.ResponseWriter, r *http.Request) *schedulerv1.SubmitResponse {
	b := httpapi.NewBody(w, r, h.MaxUploadBytes)
	b.EnableFullDuplex()
	resp, replayed, err := h.Submits.Submit(r, b, httpapi.V2)
	if err != nil {
		h.FailAndDrain(w, r, httpapi.V2, b, err)
		return nil
	}
	if replayed {
		w.Header().Set(submit.ReplayHeader, "true")
	}
	return resp
}

func (h builds) submitted(resp *schedulerv1.SubmitResponse) api.Submitted {
	b := resp.GetBuild()
	return api.Submitted{Build: View(b, nil), AccessToken: h.Auth.Token(b.GetId()), Warnings: resp.GetWarnings(), Superseded: resp.GetSuperseded()}
}

func (h builds) created(w http.ResponseWriter, resp *schedulerv1.SubmitResponse) {
	w.Header().Set("Location", api.Path+"/builds/"+resp.GetBuild().GetId())
	httpx.WriteJSON(w, http.StatusCreated, h.submitted(resp))
}

func (h builds) retry(w http.ResponseWriter, r *http.Request) {
	resp, replayed, err := h.Submits.RetryOnce(r, chi.URLParam(r, "id"))
	if replayed {
		w.Header().Set(submit.ReplayHeader, "true")
	}
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.created(w, resp)
}

func (h builds) cancel(w http.ResponseWriter, r *http.Request) {
	b, err := h.Farm.Cancel(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, View(b, nil))
}

func (h builds) get(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.BuildWithAttempts(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	v := viewWhole(resp)
	if v.Final() {
		v.Log = h.log(r.Context(), v.ID)
	}
	writeWithETag(w, r, v)
}

func (h builds) result(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.BuildWithAttempts(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	b := resp.GetBuild()
	if build.State(b.GetState()) != build.Completed {
		h.Fail(w, r, httpapi.V2, httpx.Refuse(httpapi.ErrConflict, "The build is %s and has no result", b.GetState()))
		return
	}
	h.Objects.Download(w, r, httpapi.V2, b.GetResult().GetObjectId(), b.GetResult().GetName())
}

// artifacts sends the files that a build kept besides its result, also of one that failed.
func (h builds) artifacts(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.BuildWithAttempts(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	b := resp.GetBuild()
	if o := b.GetArtifacts().GetObject(); o.GetObjectId() != "" {
		h.Objects.Download(w, r, httpapi.V2, o.GetObjectId(), o.GetName())
		return
	}
	if !build.State(b.GetState()).Final() {
		h.Fail(w, r, httpapi.V2, httpx.Refuse(httpapi.ErrConflict, "The build is %s and has no artifacts yet", b.GetState()))
		return
	}
	why := "The build kept no files besides its result. Name them in buildArtifactPaths of eas.json or artifacts of freeagent.json."
	h.Fail(w, r, httpapi.V2, httpx.Refuse(build.ErrObjectNotFound, "%s", cmp.Or(b.GetArtifacts().GetProblem(), why)))
}
