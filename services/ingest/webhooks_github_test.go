package ingest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

const gitHubToken = "ghp_0123456789abcdef0123456789abcdef0123"

// TestCommitStatuses: GitHub hears of a build with a commit where it keeps the statuses of that
// commit, in the build's order; of one without it hears nothing, and the list of deliveries says
// why.
func TestCommitStatuses(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setupOn(t, open, hooked, func(c *ingest.Config) { c.PublicURL = "https://farm.example/" })
		r := receive(t, func(_ received, try int) int { return map[bool]int{true: 502, false: 201}[try == 1] })
		hook := f.addHook(r.URL+"/api/v3/", map[string]any{"format": "github", "token": gitHubToken})
		if len(hook.Events) != 5 || hook.Events[0] != "build.submitted" {
			t.Errorf("events = %v", hook.Events)
		}
		sha := strings.Repeat("0a", 20)
		var made api.Submitted
		form := []part{platform("ios"), source(), {"commit", "", sha}, {"repository", "", "acme/shop"}, {"profile", "", "preview"}}
		if err := json.Unmarshal(f.postForm(api.Path+"/builds", withKey(), form...).want(t, 201).body, &made); err != nil {
			t.Fatal(err)
		}
		id := made.ID
		plain, _ := f.submit(platform("ios"), source())
		f.happens(plain, bus.Submitted)
		f.happens(id, bus.Submitted)
		f.happens(id, bus.Assigned) // not asked for
		f.happens(id, bus.Started)
		f.delivered(hook.ID, 2)
		f.scheduler.set(id, func(b *schedulerv1.Build) {
			b.State, b.Error = string(build.Failed), "pod install\nended with exit code 1"
		})
		f.happens(id, bus.Failed)
		f.delivered(hook.ID, 3)

		type status struct {
			State, Description, Context string
			TargetURL                   string `json:"target_url"`
		}
		var got []status
		for i, h := range r.heard() {
			var s status
			if err := json.Unmarshal([]byte(h.body), &s); err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 { // the same again after the 502
				got = append(got, s)
			}
			if h.method != http.MethodPost || h.path != "/api/v3/repos/acme/shop/statuses/"+sha || h.header.Get("Authorization") != "Bearer "+gitHubToken ||
				h.header.Get("Accept") != "application/vnd.github+json" || h.header.Get("X-GitHub-Api-Version") == "" || h.header.Get("User-Agent") == "" {
				t.Errorf("%s %s with %v", h.method, h.path, h.header)
			}
		}
		page, name := "https://farm.example/builds/"+id, "freeagent/ios/preview"
		want := []status{{"pending", "Queued", name, page}, {"pending", "Building", name, page}, {"failure", "Failed: pod install", name, page}}
		if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Errorf("statuses = %+v, want %+v", got, want)
		}
		skipped := f.deliveries(hook.ID, "?state=skipped")
		if len(skipped) != 1 || skipped[0].Subject != plain || skipped[0].Note != "the build was submitted without commit and repository" || skipped[0].EndedAt == "" {
			t.Errorf("skipped = %+v", skipped)
		}
		if f.log.contains(gitHubToken) {
			t.Error("the log has the token")
		}
	})
}

// TestATrialAtGitHub reads with the token, and says nothing of any commit.
func TestATrialAtGitHub(t *testing.T) {
	t.Parallel()
	f := setupOn(t, onSQLite, hooked, func(c *ingest.Config) { c.WebhookAttempts = 1 })
	r := receive(t, func(h received, _ int) int {
		return map[bool]int{true: 200, false: 401}[h.header.Get("Authorization") == "Bearer "+gitHubToken]
	})
	good, bad := f.addHook(r.URL, map[string]any{"format": "github", "token": gitHubToken}), f.addHook(r.URL, map[string]any{"format": "github", "token": "x"})
	f.post("/api/v2/webhooks/"+good.ID+"/test").want(t, 202)
	f.delivered(good.ID, 1)
	f.post("/api/v2/webhooks/"+bad.ID+"/test").want(t, 202)
	eventually(t, "the wrong token is refused", func() bool { return len(f.deliveries(bad.ID, "?state=dead")) == 1 })
	for _, h := range r.heard() {
		if h.method != http.MethodGet || h.path != "/" || h.body != "" {
			t.Errorf("trial = %+v", h)
		}
	}
}

// TestATokenStaysWhereItWasMeantFor: it is never told, sealed where it lies, and does not follow a
// webhook to another URL.
func TestATokenStaysWhereItWasMeantFor(t *testing.T) {
	t.Parallel()
	f := setupOn(t, onSQLite, hooked)
	var made api.CreatedWebhook
	r := f.postJSON("/api/v2/webhooks", `{"format":"github","token":"`+gitHubToken+`"}`).want(t, 201)
	if err := json.Unmarshal(r.body, &made); err != nil || made.URL != "https://api.github.com" || strings.Contains(string(r.body), gitHubToken) {
		t.Errorf("made %s, %v", r.body, err)
	}
	path := "/api/v2/webhooks/" + made.ID
	patch := func(body string) reply { return f.do(http.MethodPatch, path, strings.NewReader(body), withKey()) }
	if r := f.get(path).want(t, 200); strings.Contains(string(r.body), gitHubToken) {
		t.Errorf("%s tells the token: %s", path, r.body)
	}
	st, err := store.New(t.Context(), f.db)
	if err != nil {
		t.Fatal(err)
	}
	before, err := st.Webhook(t.Context(), made.ID)
	if err != nil || before.Token == "" || strings.Contains(before.Token, "ghp_") {
		t.Errorf("stored %q, %v", before.Token, err)
	}
	patch(`{"url":"https://evil.example"}`).want(t, 400)
	patch(`{"url":"http://ghe.example","token":"t"}`).want(t, 400)
	patch(`{"description":"ours"}`).want(t, 200)
	if after, err := st.Webhook(t.Context(), made.ID); err != nil || after.Token != before.Token || after.URL != before.URL {
		t.Errorf("stored %+v, %v", after, err)
	}
	patch(`{"url":"https://ghe.example/api/v3","token":"another"}`).want(t, 200)
	patch(`{"format":"slack"}`).want(t, 200)
	patch(`{"format":"github"}`).want(t, 400)
	if r := patch(`{"format":"github","token":"t"}`).want(t, 200); r.json(t)["url"] != "https://api.github.com" {
		t.Errorf("GitHub again = %s", r.body)
	}
	for _, body := range []string{
		`{"format":"github"}`, `{"format":"github","token":""}`, `{"format":"github","token":"a b"}`, `{"format":"github","token":"a\r\nX: y"}`,
		`{"url":"https://x.example","token":"a"}`, `{"format":"github","token":"a","url":"https://x.example/?a=b"}`,
	} {
		f.postJSON("/api/v2/webhooks", body).want(t, 400)
	}
}
