package pages

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

type listPage struct {
	Title     string
	Session   bool
	Builds    []api.Build
	Query     url.Values
	States    []build.State
	Platforms []build.Platform
	Next      string
}

// list shows builds, newest first. Its query is that of API v2's list.
func (p *Pages) list(w http.ResponseWriter, r *http.Request) {
	if _, ok := p.rights(w, r, ""); !ok {
		return
	}
	q := r.URL.Query()
	for name, values := range q {
		if len(values) == 1 && values[0] == "" { // a field of the form that was left empty
			q.Del(name)
		}
	}
	list, err := p.backend.Builds(r.Context(), q)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	page := listPage{Title: "Builds", Session: true, Builds: list.Builds, Query: q, States: build.States(), Platforms: build.Platforms()}
	if list.Next != "" {
		more := url.Values{}
		for name := range q {
			more[name] = q[name]
		}
		more.Set("before", list.Next)
		page.Next = "/?" + more.Encode()
	}
	p.render(w, r, http.StatusOK, "list", page)
}

type buildPage struct {
	Title         string
	Session, List bool
	Build         api.Build
	Cancel        bool
}

func (p *Pages) build(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	rights, ok := p.rights(w, r, id)
	if !ok {
		return
	}
	b, err := p.backend.Build(r.Context(), id)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	name := b.Project
	if name == "" {
		name = b.ID
	}
	p.render(w, r, http.StatusOK, "build", buildPage{
		Title: name + " · " + b.Platform, Session: true, List: rights.List, Build: b, Cancel: rights.Cancel,
	})
}

func (p *Pages) cancel(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	rights, ok := p.rights(w, r, id)
	if !ok {
		return
	}
	if IsCrossSite(r) || !rights.Cancel {
		p.render(w, r, http.StatusForbidden, "message", message{Title: "Forbidden", Text: "Your key does not allow you to cancel this build. It needs the scope submit.", Session: true})
		return
	}
	if err := p.backend.Cancel(r.Context(), id); err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/builds/"+url.PathEscape(id), http.StatusSeeOther)
}
