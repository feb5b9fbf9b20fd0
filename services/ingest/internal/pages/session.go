package pages

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// cookieName is the session cookie. Under TLS it has securePrefix, so that a sibling domain
	// cannot set it.
	cookieName   = "freeagent_session"
	securePrefix = "__Host-"
)

// Cookie returns the session secret of a request, "" if it has none.
func Cookie(r *http.Request) string {
	for _, name := range []string{securePrefix + cookieName, cookieName} {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return c.Value
		}
	}
	return ""
}

// secure reports whether the browser uses TLS, directly or to a proxy. A client that forges the
// header only loses its session.
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

// IsCrossSite reports whether another site's page sent a request that changes something.
func IsCrossSite(r *http.Request) bool { return http.NewCrossOriginProtection().Check(r) != nil }

// rights returns the rights of the session. Without a session it redirects to the login and returns
// false.
func (p *Pages) rights(w http.ResponseWriter, r *http.Request, buildID string) (Rights, bool) {
	rights, err := p.backend.Rights(r.Context(), Cookie(r), buildID)
	if err == nil && (buildID == "" && rights.List || buildID != "" && rights.Read) {
		return rights, true
	}
	switch {
	case err != nil && !errors.Is(err, ErrRefused):
		p.fail(w, r, err)
	case Cookie(r) == "" && r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Method == http.MethodGet:
		// A strict cookie does not come with a link on another site, but with the refresh of the
		// page itself.
		w.Header().Set("Refresh", "0")
		p.render(w, r, http.StatusOK, "message", message{Title: "One moment", Text: "Opening the page."})
	default:
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	}
	return Rights{}, false
}

type loginPage struct {
	Title, Next, BuildID, Error string
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

// buildOf returns the build id of a page's path, "" for other pages.
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
	if IsCrossSite(r) || r.ParseForm() != nil {
		p.render(w, r, http.StatusForbidden, "message", message{Title: "Forbidden", Text: "The form came from another site. Log in from this site's own page."})
		return
	}
	page := loginPage{Title: "Log in", Next: local(r.PostForm.Get("next")), Token: r.PostForm.Get("with") == "token"}
	page.BuildID = buildOf(page.Next)
	credential, buildID := strings.TrimSpace(r.PostForm.Get("key")), ""
	if page.Token {
		credential, buildID = strings.TrimSpace(r.PostForm.Get("token")), strings.TrimSpace(r.PostForm.Get("build"))
		page.BuildID = buildID
		page.Error = "Wrong build token, or no such build."
	} else {
		page.Error = "Unknown API key, or a key without the scope read."
	}
	secret, err := p.backend.Login(r.Context(), credential, buildID)
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
	if IsCrossSite(r) {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	if err := p.backend.Logout(r.Context(), Cookie(r)); err != nil {
		p.fail(w, r, err)
		return
	}
	p.setCookie(w, r, "")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
