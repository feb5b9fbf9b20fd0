package ingest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/webhook"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// hooks delivers events to webhooks: first each event becomes a row for each webhook that wants it (hooksLoop), then the rows are
// sent until they are answered well (sendLoop). Between the two lies SQL, so a kill loses nothing and one slow receiver holds
// nothing up.
type hooks struct {
	client *http.Client
	sealer cipher.AEAD
	// woken asks for a round of sending; a second ask while one waits is the same.
	woken chan struct{}

	mu sync.Mutex
	// busy counts the deliveries under way by webhook; ended is told of each that ends.
	busy  map[string]int
	ended sync.WaitGroup
}

func newHooks(cfg Config) (*hooks, error) {
	key, err := hkdf.Key(sha256.New, cfg.TokenKey, nil, "freeagent webhook secrets", 32)
	if err != nil {
		return nil, fmt.Errorf("key of webhook secrets: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key of webhook secrets: %w", err)
	}
	sealer, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key of webhook secrets: %w", err)
	}
	return &hooks{
		client: webhook.NewClient(cfg.WebhookNetworks, cfg.WebhookTimeout), sealer: sealer,
		woken: make(chan struct{}, 1), busy: map[string]int{},
	}, nil
}

// seal binds a secret to its webhook.
func (h *hooks) seal(id, secret string) string {
	nonce := make([]byte, h.sealer.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return base64.StdEncoding.EncodeToString(h.sealer.Seal(nonce, nonce, []byte(secret), []byte(id)))
}

var errSealed = errors.New("the secret cannot be read: the gateways' token key has changed; set a new one")

func (h *hooks) unseal(id, sealed string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(data) < h.sealer.NonceSize() {
		return nil, errSealed
	}
	n := h.sealer.NonceSize()
	secret, err := h.sealer.Open(nil, data[:n], data[n:], []byte(id))
	if err != nil {
		return nil, errSealed
	}
	return secret, nil
}

// ofToken is what a token is sealed for: it cannot be put in the place of a secret, or of another webhook's token.
func ofToken(id string) string { return id + " token" }

func (h *hooks) wake() {
	select {
	case h.woken <- struct{}{}:
	default:
	}
}

const (
	// hookRetry follows a stream that is not there yet.
	hookRetry = time.Second
	hookBatch = 100
	hookMost  = 500
	hookWait  = 50 * time.Millisecond
)

// hooksLoop turns events into deliveries.
func (g *Ingest) hooksLoop(ctx context.Context) error {
	for {
		err := bus.ConsumeBatches(ctx, g.js, bus.Consumer{
			Stream: bus.EventsStream, Durable: "ingest-webhooks", Filters: []string{bus.BuildSubjects("*"), bus.WorkerSubjects("*")},
			FromNow: true, AckWait: time.Minute,
		}, bus.Batch{Size: hookBatch, Most: hookMost, Wait: hookWait}, g.hearForHooks, g.log)
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // we stop
		}
		g.log.WarnContext(ctx, "no events for webhooks yet, trying again soon", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(hookRetry):
		}
	}
}

func (g *Ingest) hearForHooks(ctx context.Context, msgs []jetstream.Msg) error {
	all, err := g.store.Webhooks(ctx)
	if err != nil {
		return err
	}
	enabled := all[:0]
	for _, w := range all {
		if w.Enabled {
			enabled = append(enabled, w)
		}
	}
	var deliveries []store.Delivery
	for _, m := range msgs {
		some, err := g.deliveriesOf(ctx, m, enabled)
		if err != nil {
			return err
		}
		deliveries = append(deliveries, some...)
	}
	if len(deliveries) == 0 {
		return nil
	}
	if err := g.store.AddDeliveries(ctx, deliveries); err != nil {
		return err
	}
	g.hooks.wake()
	return nil
}

// deliveriesOf gives what an event becomes; an event that cannot be read is nothing to anybody.
func (g *Ingest) deliveriesOf(ctx context.Context, m jetstream.Msg, enabled []store.Webhook) ([]store.Delivery, error) {
	e, err := eventOf(m)
	if err != nil {
		g.log.DebugContext(ctx, "event is not for webhooks", "subject", m.Subject(), "err", err)
		return nil, nil
	}
	var wanting []store.Webhook
	for _, w := range enabled {
		if webhook.Wants(webhook.Format(w.Format), w.Events, e.Name) {
			wanting = append(wanting, w)
		}
	}
	if len(wanting) == 0 {
		return nil, nil
	}
	if err := g.describe(ctx, &e); err != nil {
		return nil, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, err //nolint:wrapcheck // never of our stream's messages
	}
	var all []store.Delivery
	for _, w := range wanting {
		if w.Project != "" && (e.Build == nil || e.Build.Project != w.Project) {
			continue
		}
		d, err := newDelivery(w, e, int64(meta.Sequence.Stream)) //nolint:gosec // far below
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func newDelivery(w store.Webhook, e webhook.Event, place int64) (store.Delivery, error) {
	body, err := webhook.Render(webhook.Format(w.Format), e)
	if err != nil {
		return store.Delivery{}, err //nolint:wrapcheck // says what it did
	}
	d := store.Delivery{
		ID: deliveryID(w.ID, e.ID), HookID: w.ID, EventID: e.ID, Event: e.Name, Subject: e.Subject, Place: place, Body: string(body),
		CreatedAt: time.Now(), State: store.Pending,
	}
	if d.Path, d.Note = webhook.Target(webhook.Format(w.Format), e); d.Note != "" {
		d.State = store.Skipped
	}
	return d, nil
}

// deliveryID is the same whenever the same event becomes a delivery of the same webhook.
func deliveryID(hookID, eventID string) string {
	sum := sha256.Sum256([]byte(hookID + " " + eventID))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// eventOf reads what the subject and the headers say, and the reason if there is one.
func eventOf(m jetstream.Msg) (webhook.Event, error) {
	id, name, err := bus.ParseEvent(m.Subject())
	if err != nil {
		return webhook.Event{}, err //nolint:wrapcheck // names the subject
	}
	kind := "build."
	if strings.HasPrefix(m.Subject(), bus.WorkerSubject(id, "")) {
		kind = "worker."
	}
	at, err := time.Parse(time.RFC3339Nano, m.Headers().Get(bus.HeaderTime))
	if err != nil {
		return webhook.Event{}, fmt.Errorf("time of the event: %w", err)
	}
	e := webhook.Event{ID: m.Headers().Get(bus.HeaderID), Name: kind + string(name), Subject: id, Time: at}
	if e.ID == "" {
		return e, errors.New("the event has no id") //nolint:err113 // for the log only
	}
	e.Reason = reasonOf(name, m.Data())
	return e, nil
}

func reasonOf(name bus.Event, data []byte) string {
	switch name {
	case bus.Waiting:
		var w eventsv1.BuildWaiting
		if bus.Decode(data, &w) == nil {
			return w.GetReason()
		}
	case bus.Retried:
		var r eventsv1.BuildRetried
		if bus.Decode(data, &r) == nil {
			return r.GetReason()
		}
	case bus.Stalled:
		var s eventsv1.BuildStalled
		if bus.Decode(data, &s) == nil {
			return "its worker went silent in stage " + s.GetStage()
		}
	}
	return ""
}

// describe adds the build as it is now. A build that nobody knows is left out.
func (g *Ingest) describe(ctx context.Context, e *webhook.Event) error {
	if !strings.HasPrefix(e.Name, "build.") {
		return nil
	}
	resp, err := g.farm.BuildWithAttempts(ctx, e.Subject)
	if errors.Is(err, build.ErrNotFound) || errors.Is(err, build.ErrExpired) {
		return nil
	}
	if err != nil {
		return err
	}
	v := viewV2(resp.GetBuild(), resp.GetAttempts())
	e.Build = &v
	if g.cfg.PublicURL != "" {
		public := strings.TrimSuffix(g.cfg.PublicURL, "/")
		e.PageURL = public + "/builds/" + v.ID
		e.BuildURL = public + api.Path + "/builds/" + v.ID
		e.LogURL = e.BuildURL + "/logs"
	}
	return nil
}
