package ingest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

func TestOrderOfChecksV1(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, token := f.submit()
	_, foreign := f.submit()
	const (
		noKey, wrongKey       = "Missing X-API-Key header", "Invalid API key"
		noKeyOrToken, expired = "Missing X-API-Key or X-Build-Token header", "Invalid or expired build token"
	)
	status, unknown := "/api/builds/"+id+"/status", "/api/builds/nonexistent/status"
	for name, c := range map[string]struct {
		method, path string
		h            hdr
		status       int
		sentence     string
	}{
		"nothing":                      {"GET", "/api/builds", nil, 401, noKey},
		"empty key":                    {"GET", "/api/builds", hdr{"X-API-Key": ""}, 401, noKey},
		"wrong key":                    {"GET", "/api/builds", hdr{"X-API-Key": adminKey + "x"}, 403, wrongKey},
		"key in capitals":              {"GET", "/api/builds", hdr{"X-API-Key": strings.ToUpper(adminKey)}, 403, wrongKey},
		"bearer":                       {"GET", "/api/builds", hdr{"Authorization": "bearer " + adminKey}, 200, ""},
		"wrong bearer":                 {"GET", "/api/builds", hdr{"Authorization": "Bearer wrong-key-wrong-key"}, 403, wrongKey},
		"no scheme":                    {"GET", "/api/builds", hdr{"Authorization": adminKey}, 401, noKey},
		"X-API-Key before bearer":      {"GET", "/api/builds", hdr{"X-API-Key": "wrong-key-wrong-key", "Authorization": "Bearer " + adminKey}, 403, wrongKey},
		"key before body":              {"POST", "/api/builds/submit", hdr{"Content-Type": "application/json"}, 401, noKey},
		"token alone":                  {"GET", status, hdr{"X-Build-Token": token}, 200, ""},
		"another build's token":        {"GET", status, hdr{"X-Build-Token": foreign}, 403, expired},
		"cut token":                    {"GET", status, hdr{"X-Build-Token": token[:len(token)-1]}, 403, expired},
		"neither":                      {"GET", status, nil, 401, noKeyOrToken},
		"key, wrong token":             {"GET", status, hdr{"X-API-Key": adminKey, "X-Build-Token": "x"}, 200, ""},
		"wrong key, right token":       {"GET", status, hdr{"X-API-Key": "wrong-key-wrong-key", "X-Build-Token": token}, 403, wrongKey},
		"token as key":                 {"GET", status, hdr{"X-API-Key": token}, 403, wrongKey},
		"token before unknown build":   {"GET", unknown, hdr{"X-Build-Token": token}, 403, expired},
		"unknown build":                {"GET", unknown, withKey(), 404, "Build not found"},
		"impossible build":             {"GET", "/api/builds/a%20b/status", withKey(), 404, "Build not found"},
		"a token does not list":        {"GET", "/api/builds", hdr{"X-Build-Token": token}, 401, noKey},
		"a token does not cancel":      {"POST", "/api/builds/" + id + "/cancel", hdr{"X-Build-Token": token}, 401, noKey},
		"unknown route":                {"GET", "/api/nonsense", nil, 404, "Not found"},
		"unknown method":               {"DELETE", "/api/builds", withKey(), 404, "Not found"},
		"retry with neither":           {"POST", "/api/builds/" + id + "/retry", nil, 401, noKeyOrToken},
		"retry with the foreign token": {"POST", "/api/builds/" + id + "/retry", hdr{"X-Build-Token": foreign}, 403, expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := f.do(c.method, c.path, nil, c.h)
			if c.sentence == "" {
				r.want(t, c.status)
				return
			}
			r.want(t, c.status, c.sentence)
		})
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	st, err := store.New(t.Context(), f.db)
	if err != nil {
		t.Fatal(err)
	}
	key := func(s identity.Scope) hdr {
		k := "a-key-for-" + string(s) + "-0123"
		if err := st.PutKey(t.Context(), string(s), k, identity.Scopes{s}); err != nil {
			t.Fatal(err)
		}
		return hdr{"X-API-Key": k}
	}
	read, submit, worker := key(identity.ScopeRead), key(identity.ScopeSubmit), key(identity.ScopeWorker)
	for _, c := range []struct {
		method, path string
		h            hdr
		status       int
	}{
		{"GET", "/api/builds", read, 200},
		{"GET", "/api/builds", submit, 403},
		{"POST", "/api/builds/submit", submit, 400}, // allowed in, and no form
		{"POST", "/api/builds/submit", read, 403},
		{"GET", api.Path + "/builds", read, 200},
		{"POST", api.Path + "/workers", read, 403},
		{"POST", api.Path + "/workers", submit, 403},
		{"POST", api.Path + "/workers", worker, 400}, // allowed in, and no body
		{"POST", api.Path + "/builds/x/cancel", worker, 403},
		{"POST", api.Path + "/builds/x/cancel", submit, 404},
	} {
		if r := f.do(c.method, c.path, nil, c.h); r.status != c.status {
			t.Errorf("%s %s with %v = %d %s, want %d", c.method, c.path, c.h, r.status, r.body, c.status)
		}
	}
	f.do("POST", "/api/builds/submit", nil, read).want(t, 403, "This API key lacks the scope submit")
}

func TestBootstrapKeyReplacesTheOldOne(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.cfg.BootstrapKey = "another-admin-key-0123"
	if _, err := ingest.New(t.Context(), f.cfg, f.deps(f.bus.Connect("second"), issuer(t))); err != nil {
		t.Fatal(err)
	}
	f.get("/api/builds").want(t, http.StatusForbidden, "Invalid API key")
	f.do("GET", "/api/builds", nil, hdr{"X-API-Key": "another-admin-key-0123"}).want(t, http.StatusOK)
}

func TestFaultsOfConfigurationAreAllNamed(t *testing.T) {
	t.Parallel()
	err := ingest.Config{BootstrapKey: "short-key"}.Validate()
	for _, want := range []string{"admin API key", "token key", "max upload bytes", "max followers", "follow heartbeat interval", "worker credentials TTL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %s in it", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "short-key") {
		t.Errorf("the error tells the key: %v", err)
	}
	_, err = ingest.New(t.Context(), config(), ingest.Deps{ArtifactURL: "nonsense"})
	for _, want := range []string{"DB", "Conn", "ArtifactURL", "ArtifactClient", "BusURL", "Issuer", "Log"} {
		if err == nil || !strings.Contains(err.Error(), "Deps."+want) {
			t.Errorf("New = %v, want %s in it", err, want)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	if got := f.do("GET", "/livez", nil, hdr{"X-Request-Id": "mine-1"}).header.Get("X-Request-Id"); got != "mine-1" {
		t.Errorf("X-Request-Id = %q, want the one sent", got)
	}
	for _, bad := range []string{"", "a b", "x\"y", strings.Repeat("a", 65)} {
		got := f.do("GET", "/livez", nil, hdr{"X-Request-Id": bad}).header.Get("X-Request-Id")
		if got == "" || got == bad {
			t.Errorf("X-Request-Id for %q = %q, want a new one", bad, got)
		}
	}
	h := withKey()
	h["X-Request-Id"] = "traced-7"
	f.postForm("/api/builds/submit", h, large(), platform("ios")).want(t, 200)
	if got := f.artifact.headers.Get("X-Request-Id"); got != "traced-7" {
		t.Errorf("the artifact service was told %q", got)
	}
	if !f.log.contains("request_id=traced-7") {
		t.Error("the log does not name the request")
	}
	if f.log.contains(adminKey) {
		t.Error("the API key is in the log")
	}
}
