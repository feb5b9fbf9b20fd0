package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/webhook"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestClientStaysOutside: neither an address nor a name leads into the gateway's own networks, nor
// does a redirect.
func TestClientStaysOutside(t *testing.T) {
	t.Parallel()
	hit := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hit <- r.URL.Path
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(srv.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	guarded := webhook.NewClient(nil, 5*time.Second)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"} {
		resp, err := guarded.Post("http://"+host+":"+port, "application/json", nil)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s was reached", host)
		} else if host != "2130706433" && !errors.Is(err, webhook.ErrForbidden) {
			t.Errorf("%s: %v, want %v", host, err, webhook.ErrForbidden)
		}
	}
	if len(hit) > 0 {
		t.Errorf("the receiver heard %s", <-hit)
	}
	allowed := webhook.NewClient([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 5*time.Second)
	resp, err := allowed.Post(srv.URL+"/first", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if first := <-hit; resp.StatusCode != http.StatusTemporaryRedirect || first != "/first" || len(hit) > 0 {
		t.Errorf("status %d, heard %s and %d more: a redirect was followed", resp.StatusCode, first, len(hit))
	}
}

func failed() webhook.Event {
	return webhook.Event{
		ID: "e1", Name: "build.failed", Subject: "b1", Time: time.Date(2026, 11, 26, 10, 0, 0, 5e6, time.UTC), BuildURL: "https://farm/api/v2/builds/b1",
		Build: &api.Build{
			ID: "b1", Project: "a<b>&c", Platform: "ios", Profile: "preview", Status: "failed", Error: "no <pods>\nmore", SubmittedAt: "2026-11-26T09:50:00Z",
			AssignedAt: "2026-11-26T09:51:00Z", FinishedAt: "2026-11-26T10:00:00Z",
		},
	}
}

func render(t *testing.T, f webhook.Format, e webhook.Event) map[string]any {
	t.Helper()
	body, err := webhook.Render(f, e)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFormats(t *testing.T) {
	t.Parallel()
	c := render(t, webhook.CloudEvents, failed())
	data, _ := c["data"].(map[string]any)
	b, _ := data["build"].(map[string]any)
	delete(c, "data")
	want := map[string]any{
		"specversion": "1.0", "id": "e1", "source": "/freeagent", "type": "freeagent.build.failed", "subject": "b1",
		"time": "2026-11-26T10:00:00.005Z", "datacontenttype": "application/json",
	}
	if diff := cmp.Diff(want, c); diff != "" || b["project"] != "a<b>&c" || b["status"] != "failed" || data["build_url"] != "https://farm/api/v2/builds/b1" {
		t.Errorf("CloudEvent: %s, data %v", diff, data)
	}
	e := render(t, webhook.EAS, failed())
	metrics, _ := e["metrics"].(map[string]any)
	fault, _ := e["error"].(map[string]any)
	if e["status"] != "errored" || e["platform"] != "ios" || e["projectName"] != "a<b>&c" || metrics["buildDuration"] != 540_000.0 ||
		metrics["buildWaitTime"] != 60_000.0 || fault["message"] != "no <pods>\nmore" {
		t.Errorf("EAS: %v", e)
	}
	s := render(t, webhook.Slack, failed())
	if text := s["text"]; text != ":x: *a&lt;b&gt;&amp;c* for ios (preview): failed after 9m0s\n> no &lt;pods&gt;\n<https://farm/api/v2/builds/b1|b1>" {
		t.Errorf("Slack: %q", text)
	}
	// Events without a build are written, too.
	for _, f := range webhook.Formats() {
		render(t, f, webhook.Event{ID: "e2", Name: webhook.Ping, Subject: "x", Time: time.Now()})
	}
}

// TestStatuses are what GitHub shows, whatever the build says.
func TestStatuses(t *testing.T) {
	t.Parallel()
	e := failed()
	e.PageURL = "https://farm/builds/b1"
	for _, c := range []struct{ name, reason, state, description string }{
		{"build.submitted", "", "pending", "Queued"}, {"build.started", "", "pending", "Building"},
		{"build.retried", "lost", "pending", "Retrying: lost"}, {"build.waiting", "no worker", "pending", "Waiting: no worker"},
		{"build.completed", "", "success", "Built in 9m0s"}, {"build.failed", "", "failure", "Failed: no <pods>"},
		{"build.cancelled", "", "error", "Cancelled"}, {"build.reused", "", "success", "Reused"}, {"build.stalled", strings.Repeat("ä", 200), "pending", "Stalled: " + strings.Repeat("ä", 130) + "…"},
	} {
		e.Name, e.Reason = c.name, c.reason
		want := map[string]any{"state": c.state, "description": c.description, "context": "freeagent/ios/preview", "target_url": "https://farm/builds/b1"}
		if diff := cmp.Diff(want, render(t, webhook.GitHub, e)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if _, skip := webhook.Target(webhook.GitHub, e); skip == "" {
		t.Error("a build without commit goes somewhere")
	}
	e.Build.Commit = strings.Repeat("0a", 20)
	if _, skip := webhook.Target(webhook.GitHub, e); skip != "the build was submitted without repository" {
		t.Errorf("skipped because %q", skip)
	}
	e.Build.Repository = "acme/shop"
	if path, skip := webhook.Target(webhook.GitHub, e); path != "/repos/acme/shop/statuses/"+e.Build.Commit || skip != "" {
		t.Errorf("target = %s, %s", path, skip)
	}
	e.Build.Modified = true
	if path, skip := webhook.Target(webhook.GitHub, e); path != "" || skip != "the build is of modified files, not of its commit" {
		t.Errorf("target of a modified source = %s, %s", path, skip)
	}
	e.Build = nil
	if _, skip := webhook.Target(webhook.GitHub, e); skip == "" {
		t.Error("a build that nobody knows goes somewhere")
	}
}

func TestWants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		f        webhook.Format
		patterns []string
		name     string
		want     bool
	}{
		{webhook.CloudEvents, nil, "build.failed", true}, {webhook.CloudEvents, nil, "build.stage", false},
		{webhook.CloudEvents, []string{"build.*"}, "build.stage", true}, {webhook.CloudEvents, []string{"build.*"}, "worker.online", false},
		{webhook.CloudEvents, []string{"*"}, "worker.online", true}, {webhook.EAS, []string{"*"}, "build.stage", false},
		{webhook.EAS, []string{"build.failed"}, "build.completed", false},
		{webhook.GitHub, nil, "build.started", true}, {webhook.GitHub, nil, "build.stage", false}, {webhook.GitHub, []string{"*"}, "worker.online", false},
		{webhook.GitHub, []string{"*"}, "build.stage", true}, {webhook.Slack, []string{"build.failed"}, webhook.Ping, true},
	} {
		if got := webhook.Matches(c.f, c.patterns, c.name); got != c.want {
			t.Errorf("Matches(%s, %v, %s) = %v", c.f, c.patterns, c.name, got)
		}
	}
	for pattern, ok := range map[string]bool{"build.failed": true, "build.*": true, "*": true, "build.faild": false, "": false, "[": false} {
		if err := webhook.CheckPattern(pattern); (err == nil) != ok {
			t.Errorf("CheckPattern(%q) = %v", pattern, err)
		}
	}
}

// TestSignatures are what a receiver computes (the first with openssl dgst -hmac).
func TestSignatures(t *testing.T) {
	t.Parallel()
	if got, want := webhook.Signature([]byte("secret-of-16-byte"), []byte(`{}`), time.Unix(1_700_000_000, 0)),
		"t=1700000000,v1=555aaf381e18e42605528dff30cfe6b41a7db173cecaff828dbfc7fda46eb260"; got != want {
		t.Errorf("Signature = %s, want %s", got, want)
	}
	h := http.Header{}
	webhook.Sign(h, webhook.EAS, "delivery", []byte("secret-of-16-byte"), []byte(`{}`), time.Unix(1_700_000_000, 0))
	if got, want := h.Get("expo-signature"), "sha1=60fb5a1b15da0cfcaf54ee986aef6b33c172b2ab"; got != want {
		t.Errorf("expo-signature = %s, want %s", got, want)
	}
}

// TestStandardWebhooks: a receiver verifies a delivery with a library of
// https://www.standardwebhooks.com, whether the secret is written as whsec_ and Base64 or is any
// text.
func TestStandardWebhooks(t *testing.T) {
	t.Parallel()
	body := []byte(`{"type":"freeagent.build.failed"}`)
	encoded := "whsec_" + base64.StdEncoding.EncodeToString([]byte("twenty-four random bytes"))
	fromText, err := standardwebhooks.NewWebhookRaw([]byte("secret-of-16-byte"))
	if err != nil {
		t.Fatal(err)
	}
	fromEncoded, err := standardwebhooks.NewWebhook(encoded)
	if err != nil {
		t.Fatal(err)
	}
	for secret, receiver := range map[string]*standardwebhooks.Webhook{"secret-of-16-byte": fromText, encoded: fromEncoded} {
		h := http.Header{}
		webhook.Sign(h, webhook.CloudEvents, "delivery", []byte(secret), body, time.Now())
		if err := receiver.Verify(body, h); err != nil {
			t.Errorf("secret %s: %v", secret, err)
		}
		h.Set("webhook-id", "another")
		if receiver.Verify(body, h) == nil {
			t.Errorf("secret %s: a delivery under another id is verified", secret)
		}
	}
}
