package pages

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// cookieName, and under TLS with the prefix that keeps a sibling domain from setting it.
	cookieName   = "freeagent_session"
	securePrefix = "__Host-"
)

// Cookie returns the session's secret that a request has, empty for none.
func Cookie(r *http.Request) string {
	for _, name := range []string{securePrefix + cookieName, cookieName} {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return c.Value
		}
	}
	return ""
}

// secure says that the browser speaks TLS, to us or to a proxy of ours. A lie costs its teller the session.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

func (p *Pages) setCookie(w http.ResponseWriter, r *http.Request, secret string) {
	c := &http.Cookie{
		Name: cookieName, Value: secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: int(p.ttl.Seconds()),
	}
	if secure(r) {
		c.Name, c.Secure = securePrefix+cookieName, true
	}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// Foreign says that another site's page sent a request that is to change something.
func Foreign(r *http.Request) bool { return http.NewCrossOriginProtection().Check(r) != nil }

// rights asks what the session may; without one the page of the login is shown, and false is given.
func (p *Pages) rights(w http.ResponseWriter, r *http.Request, buildID string) (Rights, bool) {
	rights, err := p.backend.May(r.Context(), Cookie(r), buildID)
	if err == nil && (buildID == "" && rights.List || buildID != "" && rights.Read) {
		return rights, true
	}
	switch {
	case err != nil && !errors.Is(err, ErrRefused):
		p.fail(w, r, err)
	case Cookie(r) == "" && r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Method == http.MethodGet:
		// A link on another site: a strict cookie does not come with it, but with the page's own look at itself.
		w.Header().Set("Refresh", "0")
		p.render(w, r, http.StatusOK, "message", message{Title: "One moment", Text: "Opening the page."})
	default:
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	}
	return Rights{}, false
}

// loginPage is the login's.
type loginPage struct {
	Title, Next, BuildID, Fault string
	Token, Session              bool
}

func (p *Pages) login(w http.ResponseWriter, r *http.Request) {
	next := local(r.URL.Query().Get("next"))
	p.render(w, r, http.StatusOK, "login", loginPage{Title: "Log in", Next: next, BuildID: buildOf(next)})
}

// local keeps a redirect on this site.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\n\r\t") {
		return "/"
	}
	return next
}

// buildOf is the build that a path is the page of.
func buildOf(path string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(path, "/builds/"), "/")
	if !strings.HasPrefix(path, "/builds/") || !build.ValidID(id) {
		return ""
	}
	return id
}

// maxForm bounds the login's form.
const maxForm = 16 << 10

func (p *Pages) enter(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if Foreign(r) || r.ParseForm() != nil {
		p.render(w, r, http.StatusForbidden, "message", message{Title: "Forbidden", Text: "The form came from another site. Log in from this site's own page."})
		return
	}
	page := loginPage{Title: "Log in", Next: local(r.PostForm.Get("next")), Token: r.PostForm.Get("with") == "token"}
	page.BuildID = buildOf(page.Next)
	word, buildID := strings.TrimSpace(r.PostForm.Get("key")), ""
	if page.Token {
		word, buildID = strings.TrimSpace(r.PostForm.Get("token")), strings.TrimSpace(r.PostForm.Get("build"))
		page.BuildID = buildID
		page.Fault = "Wrong build token, or no such build."
	} else {
		page.Fault = "Unknown API key, or a key without the scope read."
	}
	secret, err := p.backend.Enter(r.Context(), word, buildID)
	switch {
	case errors.Is(err, ErrRefused):
		p.render(w, r, http.StatusForbidden, "login", page)
		return
	case err != nil:
		p.fail(w, r, err)
		return
	}
	p.setCookie(w, r, secret)
	if buildID != "" {
		page.Next = "/builds/" + buildID
	}
	http.Redirect(w, r, page.Next, http.StatusSeeOther)
}

func (p *Pages) leave(w http.ResponseWriter, r *http.Request) {
	if Foreign(r) {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	if err := p.backend.Leave(r.Context(), Cookie(r)); err != nil {
		p.fail(w, r, err)
		return
	}
	p.setCookie(w, r, "")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
