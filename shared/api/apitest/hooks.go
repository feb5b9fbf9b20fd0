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

// hook is a webhook with its deliveries, the oldest first. Nothing is sent: a trial has the answer that Answer said.
type hook struct {
	api.Webhook

	deliveries []api.Delivery
}

// Answer is what receivers of webhooks say from now on; 0 is 204.
func (s *Server) Answer(status int) { s.change(func() { s.answers = status }) }

// Deliver adds a delivery to the webhook that was made last.
func (s *Server) Deliver(d api.Delivery) {
	s.change(func() {
		h := s.hooks[len(s.hooks)-1]
		d.WebhookID = h.ID
		d.CreatedAt = cmp.Or(d.CreatedAt, time.Now().UTC().Format(time.RFC3339))
		h.deliveries = append(h.deliveries, d)
	})
}

func (s *Server) hookRoutes(mux *http.ServeMux) {
	const path = "/api/v2/webhooks"
	mux.HandleFunc("POST "+path, s.key(s.addHook))
	mux.HandleFunc("GET "+path, s.key(s.listHooks))
	mux.HandleFunc("PATCH "+path+"/{id}", s.key(s.oneHook(s.changeHook)))
	mux.HandleFunc("DELETE "+path+"/{id}", s.key(s.oneHook(s.removeHook)))
	mux.HandleFunc("POST "+path+"/{id}/test", s.key(s.oneHook(s.testHook)))
	mux.HandleFunc("GET "+path+"/{id}/deliveries", s.key(s.oneHook(s.listDeliveries)))
	mux.HandleFunc("GET "+path+"/{id}/deliveries/{delivery}", s.key(s.oneHook(s.getDelivery)))
	mux.HandleFunc("POST "+path+"/{id}/deliveries/{delivery}/replay", s.key(s.oneHook(s.replay)))
	mux.HandleFunc("POST "+path+"/{id}/replay", s.key(s.oneHook(s.replay)))
}

// oneHook runs next with the lock held.
func (s *Server) oneHook(next func(http.ResponseWriter, *http.Request, *hook)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range s.hooks {
			if h.ID == r.PathValue("id") {
				next(w, r, h)
				return
			}
		}
		Refuse(w, http.StatusNotFound, "webhook_not_found", "Webhook not found")
	}
}

func lay(over *api.Webhook, in api.NewWebhook) {
	for to, from := range map[*string]*string{&over.URL: in.URL, &over.Format: in.Format, &over.Project: in.Project, &over.Description: in.Description} {
		if from != nil {
			*to = *from
		}
	}
	if in.Events != nil {
		over.Events = *in.Events
	}
	if in.Enabled != nil {
		over.Enabled, over.DisabledReason = *in.Enabled, ""
	}
}

func (s *Server) addHook(w http.ResponseWriter, r *http.Request) {
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
	lay(&h.Webhook, in)
	secret := "the-secret-of-" + h.ID
	if in.Secret != nil {
		secret = *in.Secret
	}
	s.change(func() {
		s.hooks = append(s.hooks, h)
		s.tokens = append(s.tokens, in.Token)
	})
	answer(w, http.StatusCreated, api.WebhookMade{Webhook: h.Webhook, Secret: secret})
}

// LastToken is the token that the webhook made last came with, nil for none.
func (s *Server) LastToken() *string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[len(s.tokens)-1]
}

func (s *Server) listHooks(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := api.WebhookList{Webhooks: []api.Webhook{}}
	for _, h := range s.hooks {
		list.Webhooks = append(list.Webhooks, h.Webhook)
	}
	answer(w, http.StatusOK, list)
}

func (s *Server) changeHook(w http.ResponseWriter, r *http.Request, h *hook) {
	var in api.NewWebhook
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "The body is not the JSON object expected")
		return
	}
	lay(&h.Webhook, in)
	answer(w, http.StatusOK, h.Webhook)
}

func (s *Server) removeHook(w http.ResponseWriter, _ *http.Request, h *hook) {
	s.hooks = slices.DeleteFunc(s.hooks, func(o *hook) bool { return o == h })
	answer(w, http.StatusOK, h.Webhook)
}

func (s *Server) testHook(w http.ResponseWriter, _ *http.Request, h *hook) {
	if !h.Enabled {
		Refuse(w, http.StatusConflict, "webhook_disabled", "The webhook is disabled: enable it first")
		return
	}
	now := time.Now().UTC().Format(time.RFC3339)
	d := api.Delivery{ID: build.NewID(), WebhookID: h.ID, Event: "ping", Subject: "trial", State: "pending", CreatedAt: now, NextAt: now}
	answer(w, http.StatusAccepted, d)
	d.State, d.Attempts, d.NextAt, d.EndedAt = "delivered", 1, "", now
	a := api.DeliveryAttempt{At: now, Status: cmp.Or(s.answers, http.StatusNoContent), TookMs: 12}
	if a.Status >= http.StatusMultipleChoices {
		a.Error = "answer " + strconv.Itoa(a.Status) + " " + http.StatusText(a.Status)
		d.State, d.NextAt, d.EndedAt = "pending", now, ""
	}
	d.Log, d.Body = []api.DeliveryAttempt{a}, json.RawMessage(`{"type":"freeagent.ping"}`)
	h.deliveries = append(h.deliveries, d)
}

func (s *Server) listDeliveries(w http.ResponseWriter, r *http.Request, h *hook) {
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

func (s *Server) getDelivery(w http.ResponseWriter, r *http.Request, h *hook) {
	for _, d := range h.deliveries {
		if d.ID == r.PathValue("delivery") {
			answer(w, http.StatusOK, d)
			return
		}
	}
	Refuse(w, http.StatusNotFound, "delivery_not_found", "Delivery not found")
}

// replay takes one, or all in a state.
func (s *Server) replay(w http.ResponseWriter, r *http.Request, h *hook) {
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
