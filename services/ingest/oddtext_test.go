package ingest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// FuzzRequest: whatever a request names, no answer is a fault of ours, on SQLite and on PostgreSQL.
func FuzzRequest(f *testing.F) {
	for name, bytes := range odd() {
		f.Add(name, bytes, bytes, `{"name":"`+bytes+`"}`)
	}
	farms := []*farm{setup(f), setupDB(f, databasetest.Open(f, databasetest.Postgres(f)))}
	f.Fuzz(func(t *testing.T, project, search, platform, body string) {
		for _, one := range farms {
			farm := *one
			farm.t = t
			q := "?project=" + url.QueryEscape(project) + "&q=" + url.QueryEscape(search)
			for what, r := range map[string]reply{
				"list": farm.get("/api/v2/builds" + q), "log": farm.get("/api/v2/builds/x/logs" + q), "hook": farm.get("/api/v2/webhooks/" + url.PathEscape(search)),
				"upload": farm.do("POST", "/api/v2/uploads", strings.NewReader(body), withKey()),
				"submit": farm.postForm("/api/v2/builds", withKey(), part{name: "platform", content: platform}, part{name: "project", content: project}, source()),
			} {
				if r.status >= http.StatusInternalServerError {
					t.Errorf("%s = %d %s", what, r.status, r.body)
				}
			}
		}
	})
}

// eachDatabase sets a farm up on SQLite and on PostgreSQL.
func eachDatabase(t *testing.T, test func(*testing.T, *farm)) {
	t.Helper()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) { test(t, setupDB(t, open(t))) })
}

// odd are texts that a database, a protobuf message or a terminal does not take.
func odd() map[string]string {
	return map[string]string{
		"NUL": "a\x00b", "Latin-1": "caf\xe9", "half a character": "\xe2\x82", "a surrogate": "\xed\xa0\x80", "overlong": "\xc0\x80", "controls": "a\x1b[2J\x07\r\nb",
	}
}

// TestOddTextIsNoFaultOfOurs sends odd bytes in every place that a request has for text: each is
// refused or cleaned.
func TestOddTextIsNoFaultOfOurs(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, f *farm) {
		id, _ := f.submit()
		for name, bytes := range odd() {
			inJSON := strings.NewReplacer("\x00", `\u0000`, "\x1b", `\u001b`, "\x07", `\u0007`, "\r", `\r`, "\n", `\n`).Replace(bytes)
			q := url.QueryEscape(bytes)
			requests := map[string]func() reply{}
			for _, path := range []string{
				"/api/v2/builds?project=" + q, "/api/v2/builds?status=" + q, "/api/v2/builds/" + id + "/logs?q=" + q, "/api/v2/builds/" + q,
				"/api/v2/webhooks/" + q, "/api/v2/webhooks/" + q + "/deliveries?state=" + q, "/api/v2/workers/" + q,
				"/api/builds/" + q + "/status", "/api/workers/poll?worker_id=" + q, "/api/diagnostics/" + q,
				"/api/workers/" + q + "/stats", "/builds?project=" + q, "/api/v2/export/builds?after=" + q, "/api/v2/builds/" + id + "/telemetry?from=" + q,
			} {
				requests["GET "+path] = func() reply { return f.get(path) }
			}
			for path, body := range map[string]string{
				"/api/v2/webhooks":            `{"url":"https://example.com/` + inJSON + `","name":"` + inJSON + `","events":["` + inJSON + `"]}`,
				"/api/v2/uploads":             `{"name":"` + inJSON + `","project":"` + inJSON + `"}`,
				"/api/v2/workers/join":        `{"name":"` + inJSON + `","pool":"` + inJSON + `","platforms":["ios"],"labels":{"` + inJSON + `":"` + inJSON + `"}}`,
				"/api/workers/register":       `{"name":"` + inJSON + `","capabilities":{"platforms":["ios"],"xcode_version":"` + inJSON + `"}}`,
				"/api/diagnostics/report":     `{"worker_id":"` + inJSON + `","status":"healthy","duration_ms":1,"checks":["` + inJSON + `"]}`,
				"/api/builds/" + id + "/logs": `{"level":"info","message":"` + inJSON + `"}`,
			} {
				requests["POST "+path] = func() reply { return f.do("POST", path, strings.NewReader(body), withKey()) }
			}
			for _, field := range []string{"platform", "project", "profile", "pool", "priority", "upload", "repository", "commit", "branch"} {
				requests["field "+field] = func() reply {
					return f.postForm("/api/v2/builds", withKey(), platform("ios"), part{name: field, content: bytes}, source())
				}
			}
			for _, field := range []string{"build_id", "worker_id"} {
				requests["result's field "+field] = func() reply {
					return f.postForm("/api/workers/upload", withKey(), part{name: "build_id", content: id}, part{name: "worker_id", content: "w"}, part{name: field, content: bytes})
				}
			}
			requests["file name"] = func() reply {
				return f.postForm("/api/v2/builds", withKey(), platform("ios"), part{"source", bytes + ".tar.gz", "the source"}) // with control characters it is no form
			}
			if !strings.ContainsAny(bytes, "\x00\r\n\x1b\x07") { // others are refused by HTTP itself
				for _, header := range []string{"X-Worker-Id", "X-Build-Id", "Idempotency-Key", "X-Build-Token", "X-Request-Id", "Last-Event-ID"} {
					requests["header "+header] = func() reply {
						return f.do("POST", "/api/builds/"+id+"/telemetry", strings.NewReader("{}"), hdr{"X-API-Key": adminKey, header: bytes})
					}
				}
			}
			for what, ask := range requests {
				r := ask()
				if r.status >= http.StatusInternalServerError || what == "file name" && r.status != http.StatusCreated && text.Check(strings.ToValidUTF8(bytes, "")) == nil ||
					strings.HasPrefix(what, "field ") && r.status != http.StatusBadRequest {
					t.Errorf("%s with %s = %d %s", what, name, r.status, r.body)
				}
			}
		}
	})
}
