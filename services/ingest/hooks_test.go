package ingest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// received is a delivery as a receiver sees it.
type received struct {
	id, event, signature, expo, contentType, body string
	method, path                                  string
	header                                        http.Header
	at                                            time.Time
}

// receiver is the far end of a webhook. answer decides the status of the nth request of a delivery, from 1.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	all    []received
	tries  map[string]int
	answer func(r received, try int) int
}

func receive(t *testing.T, answer func(r received, try int) int) *receiver {
	t.Helper()
	r := &receiver{tries: map[string]int{}, answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got := received{
			id: req.Header.Get("Freeagent-Delivery"), event: req.Header.Get("Freeagent-Event"), signature: req.Header.Get("Freeagent-Signature"),
			expo: req.Header.Get("Expo-Signature"), contentType: req.Header.Get("Content-Type"), body: string(body), at: time.Now(),
			method: req.Method, path: req.URL.Path, header: req.Header,
		}
		r.mu.Lock()
		r.tries[got.id]++
		try := r.tries[got.id]
		r.all = append(r.all, got)
		r.mu.Unlock()
		status := r.answer(got, try)
		w.WriteHeader(status)
		fmt.Fprintf(w, "status %d it is", status)
	}))
	t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	return r
}

func always(status int) func(received, int) int { return func(received, int) int { return status } }

func (r *receiver) heard() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// hooked has webhooks that may go to this machine, and little patience.
func hooked(c *ingest.Config) {
	c.WebhookNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.WebhookPause, c.WebhookMaxPause, c.WebhookTimeout = 10*time.Millisecond, 100*time.Millisecond, time.Second
}

func setupOn(t *testing.T, open databasetest.Opener, configure ...func(*ingest.Config)) *farm {
	t.Helper()
	f := &farm{t: t, bus: bustest.Start(t), db: open(t), log: &logBuffer{}, cfg: config()}
	f.js = f.bus.JetStream(f.bus.Connect("test"))
	f.scheduler = startScheduler(t, f.bus.Connect("scheduler"))
	f.artifact = startArtifact(t, f.bus.Connect("artifact"))
	for _, c := range configure {
		c(&f.cfg)
	}
	f.start(f.bus.Connect("ingest"))
	f.awaitHooks()
	return f
}

// awaitHooks waits until events are heard for webhooks: those from before are not for them.
func (f *farm) awaitHooks() {
	f.t.Helper()
	eventually(f.t, "consumer of events", func() bool {
		_, err := f.js.Consumer(f.t.Context(), bus.EventsStream, "ingest-webhooks")
		return err == nil
	})
}

func (f *farm) addHook(url string, more map[string]any) api.WebhookMade {
	f.t.Helper()
	body := map[string]any{"url": url}
	for k, v := range more {
		body[k] = v
	}
	text, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	var made api.WebhookMade
	if err := json.Unmarshal(f.postJSON("/api/v2/webhooks", string(text)).want(f.t, 201).body, &made); err != nil {
		f.t.Fatal(err)
	}
	return made
}

// happens publishes an event of a build, and gives its id.
func (f *farm) happens(buildID string, e bus.Event) string {
	f.t.Helper()
	m, err := bus.NewMessage(f.t.Context(), "scheduler", bus.BuildSubject(buildID, e), time.Now(), &eventsv1.BuildWaiting{BuildId: buildID, Reason: "so it is"})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := bus.PublishAll(f.t.Context(), f.js, []bus.Message{m}); err != nil {
		f.t.Fatal(err)
	}
	return m.ID
}

func (f *farm) deliveries(hook, query string) []api.Delivery {
	f.t.Helper()
	var list api.DeliveryList
	if err := json.Unmarshal(f.get("/api/v2/webhooks/"+hook+"/deliveries"+query).want(f.t, 200).body, &list); err != nil {
		f.t.Fatal(err)
	}
	return list.Deliveries
}

func (f *farm) delivered(hook string, n int) {
	f.t.Helper()
	eventually(f.t, fmt.Sprint(n, " delivered"), func() bool { return len(f.deliveries(hook, "?state=delivered")) == n })
}

// TestADeliveryIsSignedAndSaysWhatHappened, and comes again under its id until it is taken.
func TestADelivery(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setupOn(t, open, hooked, func(c *ingest.Config) { c.PublicURL = "https://farm.example" })
		r := receive(t, func(_ received, try int) int { return map[bool]int{true: 500, false: 204}[try < 4] })
		hook := f.addHook(r.URL+"/in", map[string]any{"description": "chat"})
		if len(hook.Secret) < 16 || !slices.Equal(hook.Events, []string{"build.completed", "build.failed", "build.cancelled"}) || hook.Format != "cloudevents" {
			t.Errorf("made %+v", hook)
		}
		id, _ := f.submit(platform("ios"), source())
		f.happens(id, bus.Stage) // not asked for
		event := f.happens(id, bus.Failed)
		f.delivered(hook.ID, 1)
		all := r.heard()
		if len(all) != 4 {
			t.Fatalf("%d requests, want 4", len(all))
		}
		for _, got := range all {
			if got.id != all[0].id || got.body != all[0].body || got.event != "build.failed" || !strings.HasPrefix(got.contentType, "application/cloudevents+json") {
				t.Errorf("received %+v", got)
			}
			at, mac, _ := strings.Cut(strings.TrimPrefix(got.signature, "t="), ",v1=")
			h := hmac.New(sha256.New, []byte(hook.Secret))
			io.WriteString(h, at+"."+got.body)
			if mac != hex.EncodeToString(h.Sum(nil)) || got.expo != "" {
				t.Errorf("signature %q is not of %q", got.signature, got.body)
			}
		}
		var c struct {
			ID, Type, Subject string
			Data              struct {
				Build    api.Build
				BuildURL string `json:"build_url"`
			}
		}
		if err := json.Unmarshal([]byte(all[0].body), &c); err != nil || c.ID != event || c.Type != "freeagent.build.failed" || c.Subject != id ||
			c.Data.Build.ID != id || c.Data.BuildURL != "https://farm.example/api/v2/builds/"+id {
			t.Errorf("body = %s, %v", all[0].body, err)
		}
		d := f.get("/api/v2/webhooks/"+hook.ID+"/deliveries/"+all[0].id).want(t, 200)
		var v api.Delivery
		if err := json.Unmarshal(d.body, &v); err != nil || v.Attempts != 4 || len(v.Log) != 4 || v.Log[0].Status != 500 ||
			!strings.Contains(v.Log[0].Error, "status 500 it is") || v.Log[3].Status != 204 || v.State != "delivered" || v.EventID != event {
			t.Errorf("delivery = %s, %v", d.body, err)
		}
		var w api.Webhook
		if err := json.Unmarshal(f.get("/api/v2/webhooks/"+hook.ID).want(t, 200).body, &w); err != nil || w.FailingSince != "" || w.SucceededAt == "" {
			t.Errorf("webhook = %+v, %v", w, err)
		}
	})
}

// TestABuildsDeliveriesKeepTheirOrder though the first fails at first; another build's do not wait for it, nor does another
// webhook whose receiver is quick while this one's hangs.
func TestDeliveriesAndOrder(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setupOn(t, open, hooked)
		hang := make(chan struct{})
		slow := receive(t, func(received, int) int { <-hang; return 200 })
		t.Cleanup(func() { close(hang) })
		quick := receive(t, func(r received, try int) int {
			if r.event == "build.assigned" && try < 5 {
				return 503
			}
			return 200
		})
		every := map[string]any{"events": []string{"build.*"}}
		f.addHook(slow.URL, every)
		hook := f.addHook(quick.URL, every)
		one, _ := f.submit(platform("ios"), source())
		other, _ := f.submit(platform("ios"), source())
		for _, e := range []bus.Event{bus.Assigned, bus.Started, bus.Completed} {
			f.happens(one, e)
		}
		f.happens(other, bus.Completed)
		f.delivered(hook.ID, 4)
		var order []string
		for _, r := range quick.heard() {
			if strings.Contains(r.body, one) {
				order = append(order, r.event)
			}
		}
		if want := []string{"build.assigned", "build.assigned", "build.assigned", "build.assigned", "build.assigned", "build.started", "build.completed"}; !slices.Equal(order, want) {
			t.Errorf("order = %v, want %v", order, want)
		}
	})
}

// TestDeadDeliveriesAndReplay: what was tried as often as it may be is dead; a replay begins anew, under the same id.
func TestDeadDeliveriesAndReplay(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setupOn(t, open, hooked, func(c *ingest.Config) { c.WebhookAttempts = 3 })
		var mu sync.Mutex
		status := 400
		r := receive(t, func(received, int) int { mu.Lock(); defer mu.Unlock(); return status })
		hook := f.addHook(r.URL, nil)
		id, _ := f.submit(platform("ios"), source())
		for range 3 {
			f.happens(id, bus.Completed)
		}
		path := "/api/v2/webhooks/" + hook.ID
		eventually(t, "three dead", func() bool { return len(f.deliveries(hook.ID, "?state=dead")) == 3 })
		if n := len(r.heard()); n != 9 {
			t.Errorf("%d requests, want 9", n)
		}
		mu.Lock()
		status = 200
		mu.Unlock()
		dead := f.deliveries(hook.ID, "?state=dead")
		page := f.deliveries(hook.ID, "?limit=2")
		if rest := f.deliveries(hook.ID, "?limit=2&before="+page[1].ID); len(page) != 2 || len(rest) != 1 {
			t.Errorf("pages of %d and %d, want 2 and 1", len(page), len(rest))
		}
		f.post(path+"/deliveries/"+dead[0].ID+"/replay").want(t, 202)
		f.delivered(hook.ID, 1)
		if m := f.post(path+"/replay?state=dead").want(t, 202).json(t); m["deliveries"] != 2.0 {
			t.Errorf("replay = %v, want 2", m)
		}
		f.delivered(hook.ID, 3)
		if m := f.post(path+"/replay?state=dead").want(t, 202).json(t); m["deliveries"] != 0.0 {
			t.Errorf("replay = %v, want 0", m)
		}
		ids := map[string]bool{}
		for _, got := range r.heard() {
			ids[got.id] = true
		}
		if len(ids) != 3 {
			t.Errorf("%d ids, want 3", len(ids))
		}
		f.post(path+"/deliveries/none/replay").want(t, 404)
		f.post(path+"/replay?status=dead").want(t, 400)
	})
}

// TestAGatewayDiesMidway: a delivery that it was sending, and an event that it had not seen, are delivered by the next one,
// under the same ids.
func TestAGatewayDiesMidway(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		f := setupOn(t, open, hooked)
		arrived, release := make(chan struct{}, 10), make(chan struct{})
		r := receive(t, func(_ received, try int) int {
			if try == 1 {
				arrived <- struct{}{}
				<-release
			}
			return 200
		})
		hook := f.addHook(r.URL, nil)
		id, _ := f.submit(platform("ios"), source())
		f.happens(id, bus.Completed)
		<-arrived
		f.stop()
		close(release)
		f.happens(id, bus.Completed)
		f.start(f.bus.Connect("ingest"))
		f.delivered(hook.ID, 2)
		all := r.heard()
		if all[0].id != all[1].id || all[0].body != all[1].body || len(all) != 3 {
			t.Errorf("received %+v", all)
		}
	})
}

// TestAWebhookIsDisabled when its receiver is gone for good, or has failed for long; it says why, and goes on when it is enabled.
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

// TestWebhooksStayOutside: with the default configuration nothing inside is reached, and the log of the delivery says why,
// without the URL, which may be a secret.
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
		`{"url":"ftp://x"}`: "url: want http", `{"url":"https://u:p@x.example/"}`: "neither a user", `{"url":"https://x.example","format":"xml"}`: "format",
		`{"url":"https://x.example","events":["build.done"]}`: "no event is called", `{"url":"https://x.example","secret":"short"}`: "16 to 256",
		`{"url":"https://x.example","event":["*"]}`: "unknown field", `{}`: "url: want http",
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
			d := store.Delivery{ID: id, HookID: "h", EventID: id, Event: "ping", Subject: id, Body: "{}", CreatedAt: now}
			if err := st.AddDeliveries(ctx, []store.Delivery{d, {ID: "for nobody", HookID: "none", CreatedAt: now}}); err != nil {
				t.Fatal(err)
			}
			if _, err := st.EndAttempt(ctx, d, store.DeliveryAttempt{At: now, Status: 200}, state, now); err != nil {
				t.Fatal(err)
			}
		}
		add("a", store.Delivered)
		add("b", store.Dead)
		add("c", store.Pending)
		skipped := store.Delivery{ID: "d", HookID: "h", EventID: "d", Subject: "d", Body: "{}", CreatedAt: now, State: store.Skipped, Note: "why"}
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

func onSQLite(tb testing.TB) *database.DB { return databasetest.Open(tb, databasetest.SQLite(tb)) }
