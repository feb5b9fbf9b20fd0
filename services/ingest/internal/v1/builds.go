package v1

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// orNull returns nil for the zero value: clients expect JSON null for absent values.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

type submitted struct {
	ID          string `json:"id"`
	Status      string `json:"status"`
	SubmittedAt int64  `json:"submitted_at"`
	AccessToken string `json:"access_token"`
	OriginalID  string `json:"original_build_id,omitempty"`
}

func (h builds) submitted(b *schedulerv1.Build) submitted {
	return submitted{
		ID: b.GetId(), Status: string(build.Pending), SubmittedAt: b.GetSubmittedAtMs(), AccessToken: h.Auth.Token(b.GetId()),
		OriginalID: b.GetRetryOf(),
	}
}

// receiveSubmit submits the build of a request. On an error it writes the response and returns nil.
func (h builds) receiveSubmit(w http.ResponseWriter, r *http.Request) *schedulerv1.SubmitResponse {
	b := httpapi.NewBody(w, r, h.MaxUploadBytes)
	b.EnableFullDuplex()
	resp, replayed, err := h.Submits.Submit(r, b, httpapi.V1)
	if err != nil {
		h.FailAndDrain(w, r, httpapi.V1, b, err)
		return nil
	}
	if replayed {
		w.Header().Set(submit.ReplayHeader, "true")
	}
	return resp
}

func (h builds) submit(w http.ResponseWriter, r *http.Request) {
	resp := h.receiveSubmit(w, r)
	if resp == nil {
		return
	}
	b := resp.GetBuild()
	err := httpapi.Deliver(w, r, h.submitted(b))
	if err != nil {
		h.Submits.Unanswered.Add(r, b, err)
	}
	h.Submits.Unanswered.Forget(r.Context(), b.GetId())
}

func (h builds) retry(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	resp, err := h.Submits.Retry(r.Context(), id)
	if farm.TraceOf(err) != nil {
		err = httpx.Refuse(build.ErrInvalid, "The source of build %s is not kept any more; submit it again", id)
	}
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, h.submitted(resp.GetBuild()))
}

func (h builds) cancel(w http.ResponseWriter, r *http.Request) {
	if _, err := h.Farm.Cancel(r.Context(), chi.URLParam(r, "id")); err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "cancelled"})
}

type status struct {
	ID           string  `json:"id"`
	Status       string  `json:"status"`
	Platform     string  `json:"platform"`
	WorkerID     *string `json:"worker_id"`
	SubmittedAt  int64   `json:"submitted_at"`
	StartedAt    *int64  `json:"started_at"`
	CompletedAt  *int64  `json:"completed_at"`
	ErrorMessage *string `json:"error_message"`
}

func (h builds) status(w http.ResponseWriter, r *http.Request) {
	b, err := h.Farm.Build(r.Context(), chi.URLParam(r, "id"))
	if t := farm.TraceOf(err); t != nil {
		statusOfExpired(w, t)
		return
	}
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, status{
		ID: b.GetId(), Status: farm.StatusV1(b), Platform: b.GetPlatform(), WorkerID: orNull(b.GetWorkerId()),
		SubmittedAt: b.GetSubmittedAtMs(), StartedAt: orNull(farm.StartedV1(b)), CompletedAt: orNull(b.GetFinishedAtMs()),
		ErrorMessage: orNull(farm.ErrorV1(b)),
	})
}

type listedBuild struct {
	ID          string `json:"id"`
	Status      string `json:"status"`
	CreatedAt   string `json:"createdAt"`
	CompletedAt string `json:"completedAt,omitempty"`
}

// list streams all builds unless the client asks for a page, as the legacy controller did.
func (h builds) list(w http.ResponseWriter, r *http.Request) {
	limit, before := listBounds(r.URL.Query())
	if r.URL.Query().Get("limit") == "" {
		h.listAll(w, r, before)
		return
	}
	builds, next, err := h.Farm.Page(r.Context(), limit, &schedulerv1.ListRequest{BeforeSeq: before, Brief: true})
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	list := make([]listedBuild, len(builds))
	for i, b := range builds {
		list[i] = viewListed(b)
	}
	if next > 0 {
		w.Header().Set("Link", fmt.Sprintf(`</api/builds?limit=%d&before=%d>; rel="next"`, limit, next))
	}
	httpx.WriteJSON(w, http.StatusOK, list)
}

func viewListed(b *schedulerv1.Build) listedBuild {
	return listedBuild{ID: b.GetId(), Status: farm.StatusV1(b), CreatedAt: httpapi.Time(b.GetSubmittedAtMs()), CompletedAt: httpapi.Time(b.GetFinishedAtMs())}
}

// listAll writes a page of builds at a time. If one fails, it aborts the connection, so that no
// client mistakes a part for the whole.
func (h builds) listAll(w http.ResponseWriter, r *http.Request, before int64) {
	for first := true; first || before > 0; first = false {
		builds, next, err := h.Farm.Page(r.Context(), farm.MaxAsk, &schedulerv1.ListRequest{BeforeSeq: before, Brief: true})
		if err != nil && first {
			h.Fail(w, r, httpapi.V1, err)
			return
		}
		if err != nil {
			h.Log.WarnContext(r.Context(), "send list of builds failed", "err", err)
			panic(http.ErrAbortHandler)
		}
		text := []byte("[")
		if first {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(http.StatusOK)
		} else {
			text = nil
		}
		for i, b := range builds {
			entry, err := json.Marshal(viewListed(b))
			if err != nil { // strings always marshal
				panic(err)
			}
			if i > 0 || !first {
				text = append(text, ',')
			}
			text = append(text, entry...)
		}
		if _, err := w.Write(text); err != nil {
			return // the client left
		}
		before = next
	}
	_, _ = w.Write([]byte("]\n")) // a client that left takes no answer
}

// listBounds reads limit and before. It ignores invalid values.
func listBounds(q url.Values) (limit int, before int64) {
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit <= 0 {
		limit = farm.MaxPage
	}
	before, err = strconv.ParseInt(q.Get("before"), 10, 64)
	if err != nil || before < 0 {
		before = 0
	}
	return min(limit, farm.MaxPage), before
}

type active struct {
	ID        string  `json:"id"`
	Status    string  `json:"status"`
	Platform  string  `json:"platform"`
	WorkerID  *string `json:"worker_id"`
	StartedAt *int64  `json:"started_at"`
}

func (h builds) active(w http.ResponseWriter, r *http.Request) {
	builds, _, err := h.Farm.Page(r.Context(), farm.MaxPage, &schedulerv1.ListRequest{
		States: []string{string(build.Assigned), string(build.Building)}, Brief: true,
	})
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	list := make([]active, len(builds))
	for i, b := range builds {
		list[i] = active{
			ID: b.GetId(), Status: farm.StatusV1(b), Platform: b.GetPlatform(), WorkerID: orNull(b.GetWorkerId()), StartedAt: orNull(farm.StartedV1(b)),
		}
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"builds": list})
}

func (h builds) download(w http.ResponseWriter, r *http.Request) {
	b, err := h.Farm.Build(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	if build.State(b.GetState()) != build.Completed {
		httpapi.V1.Refuse(w, r, http.StatusBadRequest, httpapi.CodeNotCompleted, httpapi.MsgNotCompleted)
		return
	}
	h.Objects.Download(w, r, httpapi.V1, b.GetResult().GetObjectId(), b.GetId()+extension(b))
}

// extension returns the file extension that API v1 promises, or .tar.gz for an exported app, which
// cannot be installed.
func extension(b *schedulerv1.Build) string {
	switch {
	case strings.HasSuffix(b.GetResult().GetName(), ".tar.gz"):
		return ".tar.gz"
	case b.GetPlatform() == string(build.Android):
		return ".apk"
	default:
		return ".ipa"
	}
}
