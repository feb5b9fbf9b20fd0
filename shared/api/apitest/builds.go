package apitest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func (s builds) routes(mux *http.ServeMux) {
	const path, one = api.Path + "/builds", api.Path + "/builds/{id}"
	mux.HandleFunc("POST "+path, key(s.submit))
	mux.HandleFunc("GET "+path, key(s.list))
	mux.HandleFunc("GET "+one, keyOrToken(s.one(s.get)))
	mux.HandleFunc("GET "+one+"/logs", keyOrToken(s.one(s.logs)))
	mux.HandleFunc("GET "+one+"/result", keyOrToken(s.one(s.download)))
	mux.HandleFunc("GET "+one+"/artifacts", keyOrToken(s.one(s.downloadArtifacts)))
	mux.HandleFunc("POST "+one+"/cancel", key(s.one(s.cancel)))
	mux.HandleFunc("POST "+one+"/retry", keyOrToken(s.one(s.retry)))
	mux.HandleFunc("PUT "+one+"/pin", key(s.one(s.pin)))
	mux.HandleFunc("DELETE "+one+"/pin", key(s.one(s.pin)))
}

func (s builds) one(next func(http.ResponseWriter, *http.Request, *record)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		b := s.state.builds[r.PathValue("id")]
		s.mu.Unlock()
		if b == nil {
			Refuse(w, http.StatusNotFound, build.Code(build.ErrNotFound), "Build not found")
			return
		}
		next(w, r, b)
	}
}

func (s *state) view(b *record) api.Build {
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.Build
}

func (s builds) get(w http.ResponseWriter, _ *http.Request, b *record) {
	answer(w, http.StatusOK, s.view(b))
}

func (s builds) cancel(w http.ResponseWriter, _ *http.Request, b *record) {
	if s.view(b).Final() {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrFinished), "Build already finished")
		return
	}
	s.Finish(b.ID, "cancelled", nil)
	answer(w, http.StatusOK, s.view(b))
}

func (s builds) retry(w http.ResponseWriter, r *http.Request, b *record) {
	old, id := s.view(b), build.NewID()
	if name := r.Header.Get("Idempotency-Key"); name != "" {
		s.mu.Lock()
		if s.retries[name] == "" {
			s.retries[name] = id
		}
		id = s.retries[name]
		s.mu.Unlock()
	}
	s.accept(w, api.Build{
		ID: id, Platform: old.Platform, Project: old.Project, RetryOf: old.ID, Source: old.Source,
		Repository: old.Repository, Commit: old.Commit, Branch: old.Branch, Settings: old.Settings,
	})
}

func (s builds) accept(w http.ResponseWriter, b api.Build) {
	b.Status, b.Pool, b.Attempt = "pending", "default", 1
	s.mu.Lock()
	known := s.state.builds[b.ID] != nil
	s.mu.Unlock()
	if !known {
		s.Add(b, nil)
	}
	out := api.Submitted{Build: b, AccessToken: Token}
	s.mu.Lock()
	if s.warning != "" {
		out.Warnings = []string{s.warning}
	}
	s.mu.Unlock()
	w.Header().Set("Location", api.Path+"/builds/"+b.ID)
	answer(w, http.StatusCreated, out)
}

func (s builds) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	if limit == 0 {
		limit = 50
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end := len(s.order)
	if before, err := strconv.Atoi(q.Get("before")); err == nil {
		end = before
	}
	page := api.BuildList{Builds: []api.Build{}}
	for i := end - 1; i >= 0; i-- {
		b := s.state.builds[s.order[i]].Build
		if len(q["status"]) > 0 && !slices.Contains(q["status"], b.Status) {
			continue
		}
		if len(page.Builds) == limit {
			page.Next = strconv.Itoa(i + 1)
			break
		}
		page.Builds = append(page.Builds, b)
	}
	answer(w, http.StatusOK, page)
}

// pin keeps a build from expiring, or lets it expire again.
func (s builds) pin(w http.ResponseWriter, r *http.Request, b *record) {
	var in api.NewPin
	if r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			Refuse(w, http.StatusBadRequest, "invalid_request", err.Error())
			return
		}
	}
	s.change(func() {
		if b.Pin = nil; r.Method == http.MethodPut {
			b.Pin = &api.Pin{PinnedAt: time.Now().UTC().Format(time.RFC3339), Note: in.Note}
		}
	})
	s.get(w, r, b)
}
