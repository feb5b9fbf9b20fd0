package ingest_test

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// visitor is a client with cookies that follows no redirect.
type visitor struct {
	f      *farm
	client *http.Client
}

func (f *farm) visitor() *visitor {
	f.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return &visitor{f, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// seen is what came of a request, without its body.
type seen struct {
	StatusCode int
	Header     http.Header
	cookies    []*http.Cookie
}

func (v *visitor) send(method, path string, form url.Values, h hdr) seen {
	v.f.t.Helper()
	req := v.f.request(method, path, strings.NewReader(form.Encode()), h)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.f.t.Fatal(err)
	}
	defer resp.Body.Close()
	return seen{resp.StatusCode, resp.Header, resp.Cookies()}
}

func (v *visitor) login(form url.Values) seen {
	v.f.t.Helper()
	return v.send("POST", "/login", form, nil)
}

func key(next string) url.Values {
	return url.Values{"with": {"key"}, "key": {adminKey}, "next": {next}}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, token := f.submit()
	for name, c := range map[string]struct {
		form   url.Values
		status int
		to     string
	}{
		"key":                {key("/builds/" + id), 303, "/builds/" + id},
		"elsewhere":          {key("https://evil.example/"), 303, "/"},
		"elsewhere, cunning": {key("//evil.example/"), 303, "/"},
		"elsewhere, again":   {key(`/\evil.example/`), 303, "/"},
		"wrong key":          {url.Values{"with": {"key"}, "key": {"wrong-key-0123456789"}}, 403, ""},
		"no key":             {url.Values{"with": {"key"}}, 403, ""},
		"token":              {url.Values{"with": {"token"}, "build": {id}, "token": {token}}, 303, "/builds/" + id},
		"wrong token":        {url.Values{"with": {"token"}, "build": {id}, "token": {"x" + token}}, 403, ""},
		"no build":           {url.Values{"with": {"token"}, "token": {token}}, 403, ""},
	} {
		resp := f.visitor().login(c.form)
		if resp.StatusCode != c.status || resp.Header.Get("Location") != c.to {
			t.Errorf("%s: %d to %q, want %d to %q", name, resp.StatusCode, resp.Header.Get("Location"), c.status, c.to)
		}
		cookies := resp.cookies
		if (len(cookies) == 1) != (c.status == 303) {
			t.Fatalf("%s: %d cookies", name, len(cookies))
		}
		for _, k := range cookies {
			if !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Secure || k.Path != "/" || strings.Contains(k.Value, adminKey) {
				t.Errorf("%s: cookie %+v", name, k)
			}
		}
	}
	resp := f.visitor().send("POST", "/login", key("/"), hdr{"X-Forwarded-Proto": "https"})
	if k := resp.cookies; len(k) != 1 || !k[0].Secure || k[0].Name != "__Host-freeagent_session" {
		t.Errorf("under TLS: cookies %v", k)
	}
}

func TestASessionIsAKeyForAPIv2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	v := f.visitor()
	list, cancel := api.Path+"/builds", api.Path+"/builds/"+id+"/cancel"
	if got := v.send("GET", list, nil, nil).StatusCode; got != 401 {
		t.Errorf("without a session: %d, want 401", got)
	}
	v.login(key("/"))
	for path, want := range map[string]int{list: 200, list + "/" + id: 200, list + "/" + id + "/logs": 200, "/": 200, "/builds/" + id: 200, "/builds/none": 404, "/?status=nonsense": 400} {
		resp := v.send("GET", path, nil, nil)
		if resp.StatusCode != want {
			t.Errorf("%s = %d, want %d", path, resp.StatusCode, want)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(path, api.Path) && !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s has the policy %q", path, csp)
		}
	}
	for _, h := range []hdr{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}} {
		if got := v.send("POST", cancel, nil, h).StatusCode; got != 401 {
			t.Errorf("from another site (%v): %d, want 401", h, got)
		}
		if got := v.send("POST", "/builds/"+id+"/cancel", url.Values{}, h).StatusCode; got != 403 {
			t.Errorf("the form from another site (%v): %d, want 403", h, got)
		}
		if got := v.send("POST", "/login", key("/"), h).StatusCode; got != 403 {
			t.Errorf("login from another site (%v): %d, want 403", h, got)
		}
	}
	if got := v.send("GET", "/api/builds", nil, nil).StatusCode; got != 401 {
		t.Errorf("API v1 by a session: %d, want 401", got)
	}
	if got := v.send("POST", cancel, nil, hdr{"Sec-Fetch-Site": "same-origin"}).StatusCode; got != 200 {
		t.Errorf("cancel = %d, want 200", got)
	}
	if got := v.send("POST", "/logout", url.Values{}, nil).StatusCode; got != 303 {
		t.Errorf("logout = %d", got)
	}
	if got := v.send("GET", list, nil, nil).StatusCode; got != 401 {
		t.Errorf("after the logout: %d, want 401", got)
	}
}

func TestASessionEndsWithItsKeyAndItsTime(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.SessionTTL = time.Hour })
	v, w := f.visitor(), f.visitor()
	v.login(key("/"))
	w.login(key("/"))
	exec := func(q string) {
		err := f.db.WithTx(t.Context(), func(tx *database.Tx) error { _, err := tx.ExecContext(t.Context(), q); return err })
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := v.send("GET", "/", nil, nil).StatusCode; got != 200 {
		t.Fatalf("status = %d", got)
	}
	exec("UPDATE sessions SET expires_ms = expires_ms - 3600001")
	if got := v.send("GET", "/", nil, nil); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/login?next=%2F" {
		t.Errorf("after its time: %d to %s", got.StatusCode, got.Header.Get("Location"))
	}
	exec("UPDATE sessions SET expires_ms = expires_ms + 7200000")
	exec("DELETE FROM api_keys")
	if got := w.send("GET", "/", nil, nil).StatusCode; got != 303 {
		t.Errorf("after its key is gone: %d, want 303", got)
	}
}

// TestALinkFromElsewhere: a strict cookie is not sent with it, so the page looks at itself once
// more instead of asking for a login.
func TestALinkFromElsewhere(t *testing.T) {
	t.Parallel()
	f := setup(t)
	resp := f.visitor().send("GET", "/", nil, hdr{"Sec-Fetch-Site": "cross-site"})
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Refresh") != "0" {
		t.Errorf("status = %d, Refresh %q", resp.StatusCode, resp.Header.Get("Refresh"))
	}
}

func TestATokenIsEnoughForOneBuild(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, token := f.submit()
	other, _ := f.submit()
	v := f.visitor()
	v.login(url.Values{"with": {"token"}, "build": {id}, "token": {token}})
	for path, want := range map[string]int{
		"/builds/" + id: 200, api.Path + "/builds/" + id: 200, api.Path + "/builds/" + id + "/logs": 200,
		"/builds/" + other: 303, "/": 303, api.Path + "/builds": 401, api.Path + "/builds/" + other: 401,
	} {
		if got := v.send("GET", path, nil, nil).StatusCode; got != want {
			t.Errorf("%s = %d, want %d", path, got, want)
		}
	}
	if got := v.send("POST", "/builds/"+id+"/cancel", url.Values{}, nil).StatusCode; got != 403 {
		t.Errorf("cancel = %d, want 403", got)
	}
}

// TestAPageSaysWhatABuildIsOf, if its submitter did.
func TestAPageSaysWhatABuildIsOf(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sha := strings.Repeat("0a", 20)
	var of api.Submitted
	form := []part{source(), platform("ios"), {"repository", "", "acme/shop"}, {"commit", "", sha}, {"branch", "", "a<b>"}}
	if err := json.Unmarshal(f.postForm(api.Path+"/builds", withKey(), form...).want(t, 201).body, &of); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"acme/shop", `title="` + sha + `"`, "a&lt;b&gt;"} {
		if page := f.page(of.ID); !strings.Contains(page, want) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
	plain, _ := f.submit()
	if page := f.page(plain); strings.Contains(page, "Commit") || strings.Contains(page, "Repository") {
		t.Errorf("the page of a build of nothing known: %s", page)
	}
}
