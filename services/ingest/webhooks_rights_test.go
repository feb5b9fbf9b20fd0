package ingest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// TestAWebhookIsDisabled when its receiver is gone for good, or has failed for long; it says why,
// and goes on when it is enabled.
func TestAWebhookIsDisabled(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setupOn(t, open, hooked, func(c *ingest.Config) { c.WebhookDisableAfter, c.WebhookAttempts = time.Millisecond, 1000 })
		var mu sync.Mutex
		status := 502
		gone := receive(t, always(http.StatusGone))
		failing := receive(t, func(received, int) int { mu.Lock(); defer mu.Unlock(); return status })
		a, b := f.addHook(gone.URL, nil), f.addHook(failing.URL, nil)
		id, _ := f.submit(platform("ios"), source())
		f.happens(id, bus.Completed)
		for hook, reason := range map[string]string{a.ID: "410 Gone", b.ID: "no delivery has succeeded since"} {
			eventually(t, "disabled", func() bool {
				m := f.get("/api/v2/webhooks/"+hook).want(t, 200).json(t)
				text, _ := m["disabled_reason"].(string)
				return m["enabled"] == false && strings.Contains(text, reason)
			})
		}
		f.post("/api/v2/webhooks/"+b.ID+"/test").want(t, 409)
		mu.Lock()
		status = 200
		mu.Unlock()
		h := withKey()
		m := f.do(http.MethodPatch, "/api/v2/webhooks/"+b.ID, strings.NewReader(`{"enabled":true}`), h).want(t, 200).json(t)
		if m["enabled"] != true || m["disabled_reason"] != nil || m["failing_since"] != nil {
			t.Errorf("enabled again = %v", m)
		}
		f.delivered(b.ID, 1)
	})
}

// TestAnAttemptFromBeforeAChangeDoesNotDisable: the receiver answers 410 when the webhook has been
// changed in the meantime. That says nothing about the webhook as it is now.
func TestAnAttemptFromBeforeAChangeDoesNotDisable(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setupOn(t, open, hooked, func(c *ingest.Config) { c.WebhookTimeout = 20 * time.Second })
		for name, changes := range map[string][]string{
			"enabled again": {`{"enabled":false}`, `{"enabled":true}`},
			"new secret":    {`{"secret":"another-secret-of-this-webhook"}`},
		} {
			began, release := make(chan struct{}), make(chan struct{})
			r := receive(t, func(_ received, try int) int {
				if try > 1 {
					return http.StatusOK
				}
				close(began)
				<-release
				return http.StatusGone
			})
			hook := f.addHook(r.URL, nil)
			f.post("/api/v2/webhooks/"+hook.ID+"/test").want(t, 202)
			<-began
			for _, change := range changes {
				f.do(http.MethodPatch, "/api/v2/webhooks/"+hook.ID, strings.NewReader(change), withKey()).want(t, 200)
			}
			close(release)
			f.delivered(hook.ID, 1)
			m := f.get("/api/v2/webhooks/"+hook.ID).want(t, 200).json(t)
			if m["enabled"] != true || m["failing_since"] != nil {
				t.Errorf("%s: webhook = %v, want enabled and not failing", name, m)
			}
		}
	})
}

// TestEASAndProjects: EAS's shape and signature for receivers of EAS, and of one project only.
func TestEASAndProjects(t *testing.T) {
	t.Parallel()
	f := setupOn(t, onSQLite, hooked)
	r := receive(t, always(302)) // which EAS takes for well received
	hook := f.addHook(r.URL, map[string]any{"format": "eas", "project": "app", "events": []string{"*"}, "secret": "sixteen-bytes-at-least"})
	mine, _ := f.submit(platform("ios"), source())
	other, _ := f.submit(platform("ios"), source())
	f.scheduler.set(mine, func(b *schedulerv1.Build) { b.State, b.Project = string(build.Completed), "app" })
	f.scheduler.set(other, func(b *schedulerv1.Build) { b.State, b.Project = string(build.Completed), "other" })
	for _, e := range []bus.Event{bus.Assigned, bus.Completed} {
		f.happens(other, e)
		f.happens(mine, e)
	}
	f.delivered(hook.ID, 1)
	all := r.heard()
	var body map[string]any
	if err := json.Unmarshal([]byte(all[0].body), &body); err != nil || len(all) != 1 || body["id"] != mine || body["status"] != "finished" || !strings.HasPrefix(all[0].expo, "sha1=") {
		t.Errorf("received %+v, %v", all, err)
	}
}

func TestTrial(t *testing.T) {
	t.Parallel()
	f := setupOn(t, onSQLite, hooked)
	r := receive(t, always(200))
	hook := f.addHook(r.URL, map[string]any{"format": "slack"})
	f.post("/api/v2/webhooks/"+hook.ID+"/test").want(t, 202)
	f.delivered(hook.ID, 1)
	if all := r.heard(); all[0].event != "ping" || !strings.Contains(all[0].body, `"text":"ping`) {
		t.Errorf("received %+v", all)
	}
}

// TestWebhooksStayOutside: with the default configuration nothing inside is reached, and the log of
// the delivery says why, without the URL, which may be a secret.
func TestWebhooksStayOutside(t *testing.T) {
	t.Parallel()
	f := setupOn(t, onSQLite, hooked, func(c *ingest.Config) { c.WebhookNetworks, c.WebhookAttempts = nil, 2 })
	r := receive(t, always(200))
	hook := f.addHook(r.URL+"/T0/B0/token", nil)
	f.post("/api/v2/webhooks/"+hook.ID+"/test").want(t, 202)
	eventually(t, "dead", func() bool { return len(f.deliveries(hook.ID, "?state=dead")) == 1 })
	d := f.get("/api/v2/webhooks/"+hook.ID+"/deliveries/"+f.deliveries(hook.ID, "")[0].ID).want(t, 200)
	if !strings.Contains(string(d.body), "may not be sent to") || len(r.heard()) != 0 {
		t.Errorf("delivery = %s, %d received", d.body, len(r.heard()))
	}
	if f.log.contains("T0/B0/token") {
		t.Error("the log has the webhook's URL")
	}
}

func TestWebhooksAreTheAdministrators(t *testing.T) {
	t.Parallel()
	f := setupOn(t, onSQLite, hooked)
	hook := f.addHook("https://example.com/x", map[string]any{"secret": "a secret of mine, long"})
	st, err := store.New(t.Context(), f.db)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.PutKey(t.Context(), "reader", "reader-key-0123456789", identity.Scopes{identity.ScopeRead, identity.ScopeSubmit}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/v2/webhooks", "/api/v2/webhooks/" + hook.ID, "/api/v2/webhooks/" + hook.ID + "/deliveries"} {
		f.do(http.MethodGet, path, nil, hdr{"X-API-Key": "reader-key-0123456789"}).want(t, 403)
		if r := f.get(path).want(t, 200); strings.Contains(string(r.body), "a secret of mine") {
			t.Errorf("%s tells the secret: %s", path, r.body)
		}
	}
	if w, err := st.Webhook(t.Context(), hook.ID); err != nil || strings.Contains(w.Secret, "a secret") || w.Secret == "" {
		t.Errorf("stored %q, %v", w.Secret, err)
	}
	for body, sentence := range map[string]string{
		`{"url":"ftp://x"}`: "url must be http", `{"url":"https://u:p@x.example/"}`: "must not contain a user", `{"url":"https://x.example","format":"xml"}`: "format",
		`{"url":"https://x.example","events":["build.done"]}`: "no event matches", `{"url":"https://x.example","secret":"short"}`: "16 to 256",
		`{"url":"https://x.example","event":["*"]}`: "unknown field", `{}`: "url must be http",
	} {
		if r := f.postJSON("/api/v2/webhooks", body).want(t, 400); !strings.Contains(string(r.body), sentence) {
			t.Errorf("%s = %s, want %q", body, r.body, sentence)
		}
	}
	h := withKey()
	f.do(http.MethodDelete, "/api/v2/webhooks/"+hook.ID, nil, h).want(t, 200)
	f.get("/api/v2/webhooks/"+hook.ID).want(t, 404)
	f.do(http.MethodDelete, "/api/v2/webhooks/"+hook.ID, nil, h).want(t, 404)
}

// TestOldDeliveriesGo, and nothing else does.
func TestOldDeliveriesGo(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		st, err := store.New(t.Context(), open(t))
		if err != nil {
			t.Fatal(err)
		}
		ctx, now := context.WithoutCancel(t.Context()), time.Now()
		if err := st.PutWebhook(ctx, store.Webhook{ID: "h", URL: "https://x.example", Format: "slack", Enabled: true, CreatedAt: now}); err != nil {
			t.Fatal(err)
		}
		add := func(id string, state store.DeliveryState) {
			t.Helper()
			d := store.Delivery{ID: id, WebhookID: "h", EventID: id, Event: "ping", Subject: id, Body: "{}", CreatedAt: now}
			if err := st.AddDeliveries(ctx, []store.Delivery{d, {ID: "for nobody", WebhookID: "none", CreatedAt: now}}); err != nil {
				t.Fatal(err)
			}
			if _, err := st.RecordAttempt(ctx, store.Webhook{ID: "h"}, d, store.DeliveryAttempt{At: now, Status: 200}, state, now); err != nil {
				t.Fatal(err)
			}
		}
		add("a", store.Delivered)
		add("b", store.Dead)
		add("c", store.Pending)
		skipped := store.Delivery{ID: "d", WebhookID: "h", EventID: "d", Subject: "d", Body: "{}", CreatedAt: now, State: store.Skipped, Note: "why"}
		if err := st.AddDeliveries(ctx, []store.Delivery{skipped}); err != nil {
			t.Fatal(err)
		}
		if n, err := st.Replay(ctx, "h", store.DeliveryFilter{}, "d", now); n != 0 || err != nil {
			t.Errorf("replayed %d skipped deliveries, %v", n, err)
		}
		for _, c := range []struct {
			delivered, dead time.Duration
			left            int
		}{{-time.Hour, -time.Hour, 4}, {time.Hour, -time.Hour, 2}, {time.Hour, time.Hour, 1}} {
			if err := st.SweepDeliveries(ctx, now.Add(c.delivered), now.Add(c.dead)); err != nil {
				t.Fatal(err)
			}
			if all, err := st.Deliveries(ctx, "h", store.DeliveryFilter{}, 10); err != nil || len(all) != c.left {
				t.Errorf("%d deliveries left, want %d: %v", len(all), c.left, err)
			}
		}
	})
}
