package apitest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// hook is a webhook with its deliveries, oldest first. Nothing is sent: Answer sets what the receiver of a test answers.
type hook struct {
	api.Webhook

	deliveries []api.Delivery
}

// Answer sets the status that receivers of webhooks answer from now on; 0 means 204.
func (s *state) Answer(status int) { s.change(func() { s.status = status }) }

// Deliver adds a delivery to the newest webhook.
func (s *state) Deliver(d api.Delivery) {
	s.change(func() {
		h := s.webhooks[len(s.webhooks)-1]
		d.WebhookID = h.ID
		d.CreatedAt = cmp.Or(d.CreatedAt, time.Now().UTC().Format(time.RFC3339))
		h.deliveries = append(h.deliveries, d)
	})
}

func (s webhooks) routes(mux *http.ServeMux) {
	const path = "/api/v2/webhooks"
	mux.HandleFunc("POST "+path, key(s.create))
	mux.HandleFunc("GET "+path, key(s.list))
	mux.HandleFunc("PATCH "+path+"/{id}", key(s.one(s.update)))
	mux.HandleFunc("DELETE "+path+"/{id}", key(s.one(s.delete)))
	mux.HandleFunc("POST "+path+"/{id}/test", key(s.one(s.test)))
	mux.HandleFunc("GET "+path+"/{id}/deliveries", key(s.one(s.listDeliveries)))
	mux.HandleFunc("GET "+path+"/{id}/deliveries/{delivery}", key(s.one(s.getDelivery)))
	mux.HandleFunc("POST "+path+"/{id}/deliveries/{delivery}/replay", key(s.one(s.replay)))
	mux.HandleFunc("POST "+path+"/{id}/replay", key(s.one(s.replay)))
}

// one runs next with the lock held.
func (s webhooks) one(next func(http.ResponseWriter, *http.Request, *hook)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range s.state.webhooks {
			if h.ID == r.PathValue("id") {
				next(w, r, h)
				return
			}
		}
		Refuse(w, http.StatusNotFound, "webhook_not_found", "Webhook not found")
	}
}

// apply copies the fields that are set.
func apply(to *api.Webhook, in api.NewWebhook) {
	for field, value := range map[*string]*string{&to.URL: in.URL, &to.Format: in.Format, &to.Project: in.Project, &to.Description: in.Description} {
		if value != nil {
			*field = *value
		}
	}
	if in.Events != nil {
		to.Events = *in.Events
	}
	if in.Enabled != nil {
		to.Enabled, to.DisabledReason = *in.Enabled, ""
	}
}

func (s webhooks) create(w http.ResponseWriter, r *http.Request) {
	var in api.NewWebhook
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.URL == nil && (in.Format == nil || *in.Format != "github") {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "url: want http:// or https://, a host and at most 2048 bytes")
		return
	}
	h := &hook{Webhook: api.Webhook{
		ID: build.NewID(), URL: "https://api.github.com", Format: "cloudevents", Enabled: true, Events: []string{"build.completed", "build.failed", "build.cancelled"},
		CreatedAt: time.Now().UTC().Format(time.RFC3339),
	}}
	if in.Format != nil && *in.Format == "github" {
		h.Events = append([]string{"build.submitted", "build.started"}, h.Events...)
	}
	apply(&h.Webhook, in)
	secret := "the-secret-of-" + h.ID
	if in.Secret != nil {
		secret = *in.Secret
	}
	s.change(func() {
		s.state.webhooks = append(s.state.webhooks, h)
		s.tokens = append(s.tokens, in.Token)
	})
	answer(w, http.StatusCreated, api.CreatedWebhook{Webhook: h.Webhook, Secret: secret})
}

// LastToken returns the token that the newest webhook was created with, nil for none.
func (s *state) LastToken() *string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[len(s.tokens)-1]
}

func (s webhooks) list(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := api.WebhookList{Webhooks: []api.Webhook{}}
	for _, h := range s.state.webhooks {
		list.Webhooks = append(list.Webhooks, h.Webhook)
	}
	answer(w, http.StatusOK, list)
}

func (s webhooks) update(w http.ResponseWriter, r *http.Request, h *hook) {
	var in api.NewWebhook
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "The body is not the JSON object expected")
		return
	}
	apply(&h.Webhook, in)
	answer(w, http.StatusOK, h.Webhook)
}

func (s webhooks) delete(w http.ResponseWriter, _ *http.Request, h *hook) {
	s.state.webhooks = slices.DeleteFunc(s.state.webhooks, func(o *hook) bool { return o == h })
	answer(w, http.StatusOK, h.Webhook)
}

func (s webhooks) test(w http.ResponseWriter, _ *http.Request, h *hook) {
	if !h.Enabled {
		Refuse(w, http.StatusConflict, "webhook_disabled", "The webhook is disabled: enable it first")
		return
	}
	now := time.Now().UTC().Format(time.RFC3339)
	d := api.Delivery{ID: build.NewID(), WebhookID: h.ID, Event: "ping", Subject: "trial", State: "pending", CreatedAt: now, NextAt: now}
	answer(w, http.StatusAccepted, d)
	d.State, d.Attempts, d.NextAt, d.EndedAt = "delivered", 1, "", now
	a := api.DeliveryAttempt{At: now, Status: cmp.Or(s.status, http.StatusNoContent), TookMs: 12}
	if a.Status >= http.StatusMultipleChoices {
		a.Error = "answer " + strconv.Itoa(a.Status) + " " + http.StatusText(a.Status)
		d.State, d.NextAt, d.EndedAt = "pending", now, ""
	}
	d.Log, d.Body = []api.DeliveryAttempt{a}, json.RawMessage(`{"type":"freeagent.ping"}`)
	h.deliveries = append(h.deliveries, d)
}

func (s webhooks) listDeliveries(w http.ResponseWriter, r *http.Request, h *hook) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		limit = 50
	}
	list := api.DeliveryList{Deliveries: []api.Delivery{}}
	for _, d := range slices.Backward(h.deliveries) {
		if state := r.URL.Query().Get("state"); state != "" && state != d.State {
			continue
		}
		if len(list.Deliveries) == limit {
			list.Next = list.Deliveries[limit-1].ID
			break
		}
		d.Log, d.Body = nil, nil
		list.Deliveries = append(list.Deliveries, d)
	}
	answer(w, http.StatusOK, list)
}

func (s webhooks) getDelivery(w http.ResponseWriter, r *http.Request, h *hook) {
	for _, d := range h.deliveries {
		if d.ID == r.PathValue("delivery") {
			answer(w, http.StatusOK, d)
			return
		}
	}
	Refuse(w, http.StatusNotFound, "delivery_not_found", "Delivery not found")
}

// replay sends one delivery again, or all in a state.
func (s webhooks) replay(w http.ResponseWriter, r *http.Request, h *hook) {
	one, state := r.PathValue("delivery"), r.URL.Query().Get("state")
	var n api.Replayed
	known := one == ""
	for i, d := range h.deliveries {
		known = known || d.ID == one
		if one != "" && d.ID != one || state != "" && d.State != state || d.State == "pending" || d.State == "skipped" {
			continue
		}
		h.deliveries[i].State, h.deliveries[i].Attempts = "pending", 0
		n.Deliveries++
	}
	if !known {
		Refuse(w, http.StatusNotFound, "delivery_not_found", "Delivery not found")
		return
	}
	answer(w, http.StatusAccepted, n)
}
