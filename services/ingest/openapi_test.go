package ingest_test

import (
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

type schema struct {
	Properties map[string]json.RawMessage `json:"properties"`
}

type document struct {
	OpenAPI    string `json:"openapi"`
	Paths      map[string]map[string]struct{ OperationID, Summary string }
	Components struct{ Schemas map[string]schema }
}

func (f *farm) document() (document, string) {
	f.t.Helper()
	r := f.do("GET", "/api/v2/openapi.json", nil, nil).want(f.t, 200)
	var d document
	if err := json.Unmarshal(r.body, &d); err != nil {
		f.t.Fatal(err)
	}
	return d, string(r.body)
}

// TestDocumentIsWhatIsServed: each operation of the document answers, each reference leads
// somewhere, no two share a name.
func TestDocumentIsWhatIsServed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	d, text := f.document()
	if !strings.HasPrefix(d.OpenAPI, "3.1") || len(d.Paths) < 10 {
		t.Fatalf("openapi %s with %d paths", d.OpenAPI, len(d.Paths))
	}
	var ids []string
	for path, methods := range d.Paths {
		for method, o := range methods {
			if slices.Contains(ids, o.OperationID) || o.OperationID == "" || o.Summary == "" {
				t.Errorf("%s %s is named %q, %q", method, path, o.OperationID, o.Summary)
			}
			ids = append(ids, o.OperationID)
			url := strings.ReplaceAll(path, "{id}", "none")
			if r := f.do(strings.ToUpper(method), url, nil, nil); r.status != http.StatusUnauthorized && !strings.HasSuffix(path, "/objects") {
				t.Errorf("%s %s without a key = %d, want 401", method, url, r.status)
			}
		}
	}
	for _, part := range strings.Split(text, `"$ref": "#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := d.Components.Schemas[name]; !ok {
			t.Errorf("nothing is called %s", name)
		}
	}
}

// TestAnswersAreAsDocumented: a real answer has no field that its schema lacks.
func TestAnswersAreAsDocumented(t *testing.T) {
	t.Parallel()
	f := setup(t)
	d, text := f.document()
	id, _ := f.submit(platform("ios"), source())
	named := func(suffix string) schema {
		for name, s := range d.Components.Schemas {
			if name == suffix || name == "Api"+suffix {
				return s
			}
		}
		t.Fatalf("no schema %s in %s", suffix, text)
		return schema{}
	}
	for path, s := range map[string]schema{
		"/api/v2/builds/" + id: named("Build"), "/api/v2/builds": named("BuildList"), "/api/v2/builds/none": named("Problem"),
	} {
		for field := range f.get(path).json(t) {
			if _, ok := s.Properties[field]; !ok {
				t.Errorf("%s: field %s is not documented", path, field)
			}
		}
	}
}

func TestDocsPage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	d, _ := f.document()
	r := f.do("GET", "/api/v2/docs", nil, nil).want(t, 200)
	page := html.UnescapeString(string(r.body))
	for path, methods := range d.Paths {
		for _, o := range methods {
			if !strings.Contains(page, path) || !strings.Contains(page, o.Summary) {
				t.Errorf("the page lacks %s %q", path, o.Summary)
			}
		}
	}
	if regexp.MustCompile(`<script|@import|(src|href|url)\s*[=(]\s*["']?(https?:)?//`).MatchString(page) || !strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("the page is not self-contained")
	}
}

// TestProblemsOfV2: what is not there, and what a path cannot do, in the words of RFC 9457.
func TestProblemsOfV2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, c := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/api/v2/nothing", 404, "not_found", ""},
		{"DELETE", "/api/v2/builds", 405, "method_not_allowed", "GET POST"},
		{"GET", "/api/v2/builds?colour=red", 400, "invalid_request", ""},
		{"GET", "/api/v2/builds?platform=web", 400, "invalid_request", ""},
	} {
		r := f.do(c.method, c.path, nil, withKey())
		var p api.Problem
		if err := json.Unmarshal(r.body, &p); err != nil || r.status != c.status || p.Code != c.code || p.Status != c.status || p.RequestID == "" {
			t.Errorf("%s %s = %d %s, %v", c.method, c.path, r.status, r.body, err)
		}
		if got := strings.Join(r.header.Values("Allow"), " "); got != c.allow {
			t.Errorf("%s %s: Allow = %q, want %q", c.method, c.path, got, c.allow)
		}
	}
}

func TestETags(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit(platform("ios"), source())
	for _, path := range []string{"/api/v2/builds/" + id, "/api/v2/builds"} {
		tag := f.get(path).want(t, 200).header.Get("Etag")
		for value, want := range map[string]int{tag: 304, `"x", ` + strings.TrimPrefix(tag, "W/"): 304, "*": 304, `"x"`: 200} {
			h := withKey()
			h["If-None-Match"] = value
			if r := f.do("GET", path, nil, h); r.status != want || want == 304 && len(r.body) > 0 {
				t.Errorf("%s with If-None-Match %s = %d %s, want %d", path, value, r.status, r.body, want)
			}
		}
	}
}
