package standalone_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// heard is a delivery as its receiver got it.
type heard struct{ id, build, body, signature string }

// slowReceiver is the far end of a webhook that answers nothing while it is held.
type slowReceiver struct {
	*httptest.Server

	mu   sync.Mutex
	all  []heard
	held chan struct{} // nil while it answers at once
}

func newSlowReceiver(t *testing.T) *slowReceiver {
	t.Helper()
	r := &slowReceiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var event struct{ Subject string }
		if err != nil || json.Unmarshal(body, &event) != nil {
			t.Errorf("received %q, %v", body, err)
		}
		r.mu.Lock()
		r.all = append(r.all, heard{req.Header.Get("Freeagent-Delivery"), event.Subject, string(body), req.Header.Get("Freeagent-Signature")})
		held := r.held
		r.mu.Unlock()
		if held != nil {
			<-held
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(func() {
		r.release()
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *slowReceiver) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = make(chan struct{})
}

func (r *slowReceiver) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held != nil {
		close(r.held)
		r.held = nil
	}
}

// of returns what was heard of some builds.
func (r *slowReceiver) of(builds ...string) (some []heard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.all {
		for _, b := range builds {
			if h.build == b {
				some = append(some, h)
			}
		}
	}
	return some
}

// TestServerKilledDuringDeliveries: what was under way to a slow receiver when the server was killed, what waited behind it, and
// what nobody had looked at yet, is delivered after the restart: under the id and with the body that it had.
func TestServerKilledDuringDeliveries(t *testing.T) {
	t.Parallel()
	r := newSlowReceiver(t)
	f := &farm{t: t, dir: t.TempDir(), port: freePort(t), env: []string{"FREEAGENT_WEBHOOK_NETWORKS=127.0.0.0/8", "FREEAGENT_WEBHOOK_TIMEOUT=6s"}}
	f.up()
	hook := f.addWebhook(r.URL, "build.submitted")
	f.awaitWebhooks(hook.ID)

	r.hold()
	var builds []string
	for range 8 {
		builds = append(builds, f.submit())
	}
	const atOnce = 4 // of one webhook from one gateway
	f.eventually("as many deliveries are under way as may be", func() bool { return len(r.of(builds...)) >= atOnce })
	cut := r.of(builds...)
	builds = append(builds, f.submit()) // which may or may not have become a delivery
	f.kill()
	r.release()
	f.up()

	f.eventually("every build is told of", func() bool { return len(f.deliveredOf(hook.ID, builds)) == len(builds) })
	ids := map[string]string{} // by build
	for _, h := range r.of(builds...) {
		if was := ids[h.build]; was != "" && was != h.id {
			t.Errorf("build %s was delivered as %s and as %s", h.build, was, h.id)
		}
		ids[h.build] = h.id
		if !signed(hook.Secret, h) {
			t.Errorf("signature %q of %s is not right", h.signature, h.id)
		}
	}
	for _, first := range cut {
		again := r.of(first.build)
		if len(again) < 2 || again[1].id != first.id || again[1].body != first.body {
			t.Errorf("cut off %+v, then %+v", first, again[1:])
		}
		d, err := f.client().Webhooks.GetDelivery(t.Context(), hook.ID, first.id)
		if err != nil || d.Attempts < 2 || d.State != "delivered" || len(d.Log) >= d.Attempts {
			t.Errorf("delivery = %+v, %v: want the try that was cut off to count, and to have no answer", d, err)
		}
	}
}

func signed(secret string, h heard) bool {
	at, sum, _ := strings.Cut(strings.TrimPrefix(h.signature, "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "." + h.body))
	return sum == hex.EncodeToString(mac.Sum(nil))
}

func (f *farm) addWebhook(url string, events ...string) api.CreatedWebhook {
	f.t.Helper()
	made, err := f.client().Webhooks.Create(f.t.Context(), api.NewWebhook{URL: &url, Events: &events})
	if err != nil {
		f.t.Fatal(err)
	}
	return made
}

// awaitWebhooks waits until events are heard for a webhook, those from before are not for it, and nothing is under way: events
// come in their order, so none of a build before the last follows.
func (f *farm) awaitWebhooks(hook string) {
	f.t.Helper()
	var probes []string
	f.eventually("events are heard for webhooks", func() bool {
		probes = append(probes, f.submit())
		return len(f.deliveredOf(hook, probes)) > 0
	})
	last := probes[len(probes)-1:]
	f.eventually("the last of them is delivered", func() bool { return len(f.deliveredOf(hook, last)) == 1 })
	f.eventually("nothing is under way", func() bool {
		list, err := f.client().Webhooks.ListDeliveries(f.t.Context(), hook, api.DeliveryOptions{State: "pending"})
		return err == nil && len(list.Deliveries) == 0
	})
}

// deliveredOf returns the delivered deliveries by build.
func (f *farm) deliveredOf(hook string, builds []string) map[string]string {
	f.t.Helper()
	list, err := f.client().Webhooks.ListDeliveries(f.t.Context(), hook, api.DeliveryOptions{State: "delivered", Limit: 200})
	if err != nil {
		f.t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range list.Deliveries {
		for _, b := range builds {
			if d.Subject == b {
				found[b] = d.ID
			}
		}
	}
	return found
}
