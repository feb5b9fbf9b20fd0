package v2

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

const defaultPage = 50

func (h builds) list(w http.ResponseWriter, r *http.Request) {
	limit, filter, err := parsePage(r.URL.Query())
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	builds, next, err := h.Farm.Page(r.Context(), limit, filter)
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	list := api.BuildList{Builds: make([]api.Build, len(builds))}
	for i, b := range builds {
		list.Builds[i] = View(b, nil)
	}
	if next > 0 {
		list.Next = strconv.FormatInt(next, 10)
		q := r.URL.Query()
		q.Set("before", list.Next)
		w.Header().Set("Link", "<"+r.URL.Path+"?"+q.Encode()+`>; rel="next"`)
	}
	writeWithETag(w, r, list)
}

// parsePage parses the query of a list. It refuses unknown filters: a misspelt one must not look
// like one without matches.
func parsePage(q url.Values) (limit int, filter *schedulerv1.ListRequest, err error) {
	limit, filter = defaultPage, &schedulerv1.ListRequest{Project: q.Get("project"), WorkerId: q.Get("worker")}
	for name := range q {
		if !slices.Contains([]string{"limit", "before", "status", "project", "platform", "worker"}, name) {
			return 0, nil, httpx.Refuse(build.ErrInvalid, "No such filter: %.40q", name)
		}
	}
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > farm.MaxPage {
			return 0, nil, httpx.Refuse(build.ErrInvalid, "Limit must be 1 to %d (got %.20q)", farm.MaxPage, s)
		}
	}
	if s := q.Get("before"); s != "" {
		if filter.BeforeSeq, err = strconv.ParseInt(s, 10, 64); err != nil || filter.GetBeforeSeq() < 1 {
			return 0, nil, httpx.Refuse(build.ErrInvalid, "Invalid cursor %.20q in before. Use the value of next on the previous page", s)
		}
	}
	if s := q.Get("platform"); s != "" {
		if _, err := build.ParsePlatform(s); err != nil {
			return 0, nil, httpx.Refuse(build.ErrInvalid, "Platform must be one of %v (got %.20q)", build.Platforms(), s)
		}
		filter.Platform = s
	}
	for _, s := range q["status"] {
		if !slices.Contains(build.States(), build.State(s)) {
			return 0, nil, httpx.Refuse(build.ErrInvalid, "Status must be one of %v (got %.20q)", build.States(), s)
		}
		filter.States = append(filter.States, s)
	}
	return limit, filter, nil
}

// writeWithETag sends JSON with an ETag, or 304 if the client has it. The tag is weak: equal
// content may differ in bytes.
func writeWithETag(w http.ResponseWriter, r *http.Request, v any) {
	data, err := json.Marshal(v)
	if err != nil { // our own types always marshal
		panic(err)
	}
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("Etag", "W/"+tag)
	w.Header().Set("Cache-Control", "private, no-cache")
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, v)
}

// matches compares tags as RFC 9110 says for If-None-Match: weakly.
func matches(headers []string, tag string) bool {
	for _, h := range headers {
		for t := range strings.SplitSeq(h, ",") {
			if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == tag {
				return true
			}
		}
	}
	return false
}

func (h workers) listWorkers(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.Scheduler.ListWorkers(r.Context(), &schedulerv1.ListWorkersRequest{})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	list := api.WorkerList{Workers: make([]api.Worker, len(resp.GetWorkers()))}
	health := h.workersHealth(r.Context())
	for i, worker := range resp.GetWorkers() {
		list.Workers[i] = viewWorker(worker)
		list.Workers[i].Health = health[worker.GetId()]
	}
	writeWithETag(w, r, list)
}

func (h workers) getWorker(w http.ResponseWriter, r *http.Request) {
	resp, err := h.Farm.Worker(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	v := viewWorker(resp.GetWorker())
	v.Completed, v.Failed = resp.GetCompleted(), resp.GetFailed()
	v.Health = h.workersHealth(r.Context(), v.ID)[v.ID]
	writeWithETag(w, r, v)
}

func viewWorker(w *schedulerv1.Worker) api.Worker {
	return api.Worker{
		ID: w.GetId(), Name: w.GetName(), Pool: w.GetPool(), Platforms: platformsOrAll(w.GetPlatforms()), Slots: int(w.GetSlots()),
		Held: int(w.GetHeld()), Online: w.GetOnline(), Draining: w.GetDraining(), Polls: w.GetPolls(), Version: w.GetVersion(),
		Labels: w.GetLabels(), RegisteredAt: httpapi.Time(w.GetRegisteredAtMs()), SeenAt: httpapi.Time(w.GetSeenAtMs()),
	}
}
