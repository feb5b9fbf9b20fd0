package ingest_test

import (
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

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// received is a delivery as a receiver sees it.
type received struct {
	id, event, signature, expo, contentType, body string
	method, path                                  string
	header                                        http.Header
	at                                            time.Time
}

// receiver is the far end of a webhook. answer decides the status of the nth request of a delivery,
// from 1.
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
	c.WebhookBackoff, c.WebhookMaxBackoff, c.WebhookTimeout = 10*time.Millisecond, 100*time.Millisecond, time.Second
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

func (f *farm) addHook(url string, more map[string]any) api.CreatedWebhook {
	f.t.Helper()
	body := map[string]any{"url": url}
	for k, v := range more {
		body[k] = v
	}
	text, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	var made api.CreatedWebhook
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
		standard, err := standardwebhooks.NewWebhook(hook.Secret)
		if err != nil {
			t.Fatalf("the secret is not one of Standard Webhooks: %v", err)
		}
		for _, got := range all {
			if err := standard.Verify([]byte(got.body), got.header); err != nil || got.header.Get("Webhook-Id") != got.id {
				t.Errorf("a receiver with a library of Standard Webhooks: %v", err)
			}
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

// TestABuildsDeliveriesKeepTheirOrder though the first fails at first; another build's do not wait
// for it, nor does another webhook whose receiver is quick while this one's hangs.
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

// TestDeadDeliveriesAndReplay: what was tried as often as it may be is dead; a replay begins anew,
// under the same id.
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

// TestAGatewayDiesMidway: a delivery that it was sending, and an event that it had not seen, are
// delivered by the next one, under the same ids.
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

func onSQLite(tb testing.TB) *database.DB { return databasetest.Open(tb, databasetest.SQLite(tb)) }
