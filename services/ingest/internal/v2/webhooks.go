package v2

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/webhook"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// maxDeliveries bounds a page of deliveries.
const maxDeliveries = 200

type (
	oneWebhook struct {
		ID string `path:"id" description:"Id of the webhook."`
	}
	newWebhook struct {
		api.NewWebhook
	}
	changedWebhook struct {
		oneWebhook
		api.NewWebhook
	}
	someDeliveries struct {
		oneWebhook

		State  string `query:"state" enum:"pending,delivered,dead,skipped" description:"Only deliveries in this state. A dead one failed on every attempt, a skipped one has no receiver and says why."`
		From   string `query:"from" format:"date-time" description:"Only deliveries created at or after this time."`
		To     string `query:"to" format:"date-time" description:"Only deliveries created before this time."`
		Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" description:"Maximum number of entries."`
		Before string `query:"before" description:"Cursor: the value of next on the previous page."`
	}
	replayDeliveries struct {
		oneWebhook

		State string `query:"state" enum:"delivered,dead" description:"Only deliveries in this state (default: both)."`
		From  string `query:"from" format:"date-time" description:"Only deliveries created at or after this time."`
		To    string `query:"to" format:"date-time" description:"Only deliveries created before this time."`
	}
	oneDelivery struct {
		oneWebhook

		Delivery string `path:"delivery" description:"Id of the delivery."`
	}
)

func (h *API) webhookOperations() []operation {
	admin, requires := h.Auth.RequireKey(httpapi.V2, identity.ScopeAdmin), anyKeyOf+"admin"
	return []operation{
		{
			method: "POST", path: "/webhooks", guard: admin, handle: webhooks{h}.add, id: "addWebhook", summary: "Add a webhook",
			description: "Format selects how events are sent: as CloudEvents in JSON, as EAS build webhooks, as Slack messages, or as commit statuses to GitHub (format github; url is GitHub's API, by default https://api.github.com, and receives the token). Deliveries are signed as Standard Webhooks (https://www.standardwebhooks.com): webhook-id (the same for each attempt), webhook-timestamp and webhook-signature. Freeagent-Delivery and Freeagent-Signature are deprecated. A delivery without a 2xx response (or 3xx for EAS) is attempted again with growing backoff. This response alone shows the secret; no response shows a token.",
			requires:    requires, request: newWebhook{}, response: api.CreatedWebhook{}, status: http.StatusCreated, errors: []int{400},
		},
		{
			method: "GET", path: "/webhooks", guard: admin, handle: webhooks{h}.list, id: "listWebhooks", summary: "List webhooks",
			requires: requires, response: api.WebhookList{}, status: http.StatusOK,
		},
		{
			method: "GET", path: "/webhooks/{id}", guard: admin, handle: webhooks{h}.get, id: "getWebhook", summary: "Read a webhook",
			requires: requires, request: oneWebhook{}, response: api.Webhook{}, status: http.StatusOK, errors: []int{404},
		},
		{
			method: "PATCH", path: "/webhooks/{id}", guard: admin, handle: webhooks{h}.change, id: "changeWebhook", summary: "Change a webhook",
			description: "Fields that you leave out keep their value. A new url needs the token again. Enabling a disabled webhook sends its pending deliveries.",
			requires:    requires, request: changedWebhook{}, response: api.Webhook{}, status: http.StatusOK, errors: []int{400, 404},
		},
		{
			method: "DELETE", path: "/webhooks/{id}", guard: admin, handle: webhooks{h}.remove, id: "deleteWebhook", summary: "Delete a webhook and its deliveries",
			requires: requires, request: oneWebhook{}, response: api.Webhook{}, status: http.StatusOK, errors: []int{404},
		},
		{
			method: "POST", path: "/webhooks/{id}/test", guard: admin, handle: webhooks{h}.test, id: "testWebhook", summary: "Send a test event to a webhook",
			requires: requires, request: oneWebhook{}, response: api.Delivery{}, status: http.StatusAccepted, errors: []int{404, 409},
		},
		{
			method: "GET", path: "/webhooks/{id}/deliveries", guard: admin, handle: webhooks{h}.deliveries, id: "listDeliveries", summary: "List a webhook's deliveries, newest first",
			requires: requires, request: someDeliveries{}, response: api.DeliveryList{}, status: http.StatusOK, errors: []int{400, 404},
		},
		{
			method: "GET", path: "/webhooks/{id}/deliveries/{delivery}", guard: admin, handle: webhooks{h}.delivery, id: "getDelivery", summary: "Read a delivery with its attempts",
			requires: requires, request: oneDelivery{}, response: api.Delivery{}, status: http.StatusOK, errors: []int{404},
		},
		{
			method: "POST", path: "/webhooks/{id}/deliveries/{delivery}/replay", guard: admin, handle: webhooks{h}.replayOne, id: "replayDelivery", summary: "Send a delivery again",
			description: "The delivery keeps its id and body.",
			requires:    requires, request: oneDelivery{}, response: api.Replayed{}, status: http.StatusAccepted, errors: []int{404},
		},
		{
			method: "POST", path: "/webhooks/{id}/replay", guard: admin, handle: webhooks{h}.replay, id: "replayDeliveries", summary: "Send many deliveries again",
			requires: requires, request: replayDeliveries{}, response: api.Replayed{}, status: http.StatusAccepted, errors: []int{400, 404},
		},
	}
}

func (h webhooks) add(w http.ResponseWriter, r *http.Request) {
	var in api.NewWebhook
	hook := store.Webhook{ID: build.NewID(), Format: string(webhook.CloudEvents), Enabled: true, CreatedAt: time.Now()}
	err := httpapi.ReadStrict(w, r, &in)
	secret := ""
	if err == nil {
		secret, err = h.Webhooks.Apply(&hook, in)
	}
	if err == nil {
		if secret == "" {
			secret = webhook.NewSecret()
		}
		hook.Secret = h.Webhooks.Seal(hook.ID, secret)
		err = h.Store.PutWebhook(r.Context(), hook)
	}
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	h.Log.InfoContext(r.Context(), "webhook added", "webhook_id", hook.ID, "format", hook.Format)
	w.Header().Set("Location", api.Path+"/webhooks/"+hook.ID)
	httpx.WriteJSON(w, http.StatusCreated, api.CreatedWebhook{Webhook: viewWebhook(hook), Secret: secret})
}

func viewWebhook(w store.Webhook) api.Webhook {
	v := api.Webhook{
		ID: w.ID, URL: w.URL, Format: w.Format, Events: w.Events, Project: w.Project, Description: w.Description, Enabled: w.Enabled,
		DisabledReason: w.DisabledReason, CreatedAt: formatTime(w.CreatedAt), FailingSince: formatTime(w.FailingSince), SucceededAt: formatTime(w.SucceededAt),
	}
	if len(v.Events) == 0 {
		v.Events = webhook.Defaults(webhook.Format(w.Format))
	}
	return v
}

// formatTime formats a time; "" for the zero time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (h webhooks) list(w http.ResponseWriter, r *http.Request) {
	all, err := h.Store.Webhooks(r.Context())
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	list := api.WebhookList{Webhooks: make([]api.Webhook, len(all))}
	for i, h := range all {
		list.Webhooks[i] = viewWebhook(h)
	}
	httpx.WriteJSON(w, http.StatusOK, list)
}

// find returns the webhook of a request. On an error it writes the response and returns false.
func (h webhooks) find(w http.ResponseWriter, r *http.Request) (store.Webhook, bool) {
	hook, err := h.Store.Webhook(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		h.fail(w, r, err)
		return hook, false
	}
	return hook, true
}

func (h webhooks) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, store.ErrNoWebhook):
		httpapi.V2.Refuse(w, r, http.StatusNotFound, "webhook_not_found", "Webhook not found")
	case errors.Is(err, store.ErrNoDelivery):
		httpapi.V2.Refuse(w, r, http.StatusNotFound, "delivery_not_found", "Delivery not found")
	default:
		h.Fail(w, r, httpapi.V2, err)
	}
}

func (h webhooks) get(w http.ResponseWriter, r *http.Request) {
	if hook, ok := h.find(w, r); ok {
		httpx.WriteJSON(w, http.StatusOK, viewWebhook(hook))
	}
}

func (h webhooks) change(w http.ResponseWriter, r *http.Request) {
	hook, ok := h.find(w, r)
	if !ok {
		return
	}
	var in api.NewWebhook
	err := httpapi.ReadStrict(w, r, &in)
	if err == nil {
		var secret string
		if secret, err = h.Webhooks.Apply(&hook, in); secret != "" {
			hook.Secret = h.Webhooks.Seal(hook.ID, secret)
		}
	}
	if err == nil {
		err = h.Store.PutWebhook(r.Context(), hook)
	}
	if err == nil {
		hook, err = h.Store.Webhook(r.Context(), hook.ID)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.Webhooks.Wake()
	h.Log.InfoContext(r.Context(), "webhook changed", "webhook_id", hook.ID, "enabled", hook.Enabled)
	httpx.WriteJSON(w, http.StatusOK, viewWebhook(hook))
}

func (h webhooks) remove(w http.ResponseWriter, r *http.Request) {
	hook, ok := h.find(w, r)
	if !ok {
		return
	}
	if err := h.Store.DeleteWebhook(r.Context(), hook.ID); err != nil {
		h.fail(w, r, err)
		return
	}
	h.Log.InfoContext(r.Context(), "webhook deleted", "webhook_id", hook.ID)
	httpx.WriteJSON(w, http.StatusOK, viewWebhook(hook))
}

func (h webhooks) test(w http.ResponseWriter, r *http.Request) {
	hook, ok := h.find(w, r)
	if !ok {
		return
	}
	if !hook.Enabled {
		httpapi.V2.Refuse(w, r, http.StatusConflict, "webhook_disabled", "The webhook is disabled. Enable it first")
		return
	}
	id := build.NewID()
	d, err := webhook.NewDelivery(hook, webhook.Event{ID: id, Name: webhook.Ping, Subject: id, Time: time.Now()}, 0)
	if err == nil {
		err = h.Store.AddDeliveries(r.Context(), []store.Delivery{d})
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.Webhooks.Wake()
	d.NextAt = d.CreatedAt
	httpx.WriteJSON(w, http.StatusAccepted, viewDelivery(d, nil))
}

func viewDelivery(d store.Delivery, attempts []store.DeliveryAttempt) api.Delivery {
	v := api.Delivery{
		ID: d.ID, WebhookID: d.WebhookID, EventID: d.EventID, Event: d.Event, Subject: d.Subject, State: string(d.State), Attempts: d.Attempts,
		Path: d.Path, Note: d.Note, CreatedAt: formatTime(d.CreatedAt), EndedAt: formatTime(d.EndedAt),
	}
	if d.State == store.Pending {
		v.NextAt = formatTime(d.NextAt)
	}
	for _, a := range attempts {
		v.Log = append(v.Log, api.DeliveryAttempt{At: formatTime(a.At), Status: a.Status, Error: a.Error, TookMs: a.Took.Milliseconds()})
	}
	return v
}

// deliveryFilter parses the query. It refuses unknown parameters.
func deliveryFilter(q url.Values, known ...string) (f store.DeliveryFilter, err error) {
	for name := range q {
		if !slices.Contains(known, name) {
			return f, httpx.Refuse(build.ErrInvalid, "No such parameter: %.40q", name)
		}
	}
	if s := q.Get("state"); s != "" {
		if !slices.Contains([]string{string(store.Pending), string(store.Delivered), string(store.Dead), string(store.Skipped)}, s) {
			return f, httpx.Refuse(build.ErrInvalid, "state must be pending, delivered, dead or skipped (got %.20q)", s)
		}
		f.State = store.DeliveryState(s)
	}
	for name, at := range map[string]*time.Time{"from": &f.From, "to": &f.To} {
		if s := q.Get(name); s != "" {
			if *at, err = time.Parse(time.RFC3339, s); err != nil {
				return f, httpx.Refuse(build.ErrInvalid, "%s must be a time such as 2026-11-26T10:00:00Z (got %.40q)", name, s)
			}
		}
	}
	f.Before = q.Get("before")
	return f, nil
}

func (h webhooks) deliveries(w http.ResponseWriter, r *http.Request) {
	hook, ok := h.find(w, r)
	if !ok {
		return
	}
	q, limit := r.URL.Query(), defaultPage
	f, err := deliveryFilter(q, "state", "from", "to", "limit", "before")
	if s := q.Get("limit"); err == nil && s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxDeliveries {
			err = httpx.Refuse(build.ErrInvalid, "limit must be 1 to %d (got %.20q)", maxDeliveries, s)
		}
	}
	var all []store.Delivery
	if err == nil {
		all, err = h.Store.Deliveries(r.Context(), hook.ID, f, limit+1)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	list := api.DeliveryList{Deliveries: []api.Delivery{}}
	if len(all) > limit {
		all = all[:limit]
		list.Next = all[limit-1].ID
	}
	for _, d := range all {
		list.Deliveries = append(list.Deliveries, viewDelivery(d, nil))
	}
	httpx.WriteJSON(w, http.StatusOK, list)
}

func (h webhooks) delivery(w http.ResponseWriter, r *http.Request) {
	d, attempts, err := h.Store.Delivery(r.Context(), chi.URLParam(r, "id"), chi.URLParam(r, "delivery"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	v := viewDelivery(d, attempts)
	v.Body = json.RawMessage(d.Body)
	httpx.WriteJSON(w, http.StatusOK, v)
}

func (h webhooks) replayOne(w http.ResponseWriter, r *http.Request) {
	hook, id := chi.URLParam(r, "id"), chi.URLParam(r, "delivery")
	if _, _, err := h.Store.Delivery(r.Context(), hook, id); err != nil {
		h.fail(w, r, err)
		return
	}
	h.replayMatching(w, r, hook, id, store.DeliveryFilter{})
}

func (h webhooks) replay(w http.ResponseWriter, r *http.Request) {
	hook, ok := h.find(w, r)
	if !ok {
		return
	}
	f, err := deliveryFilter(r.URL.Query(), "state", "from", "to")
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.replayMatching(w, r, hook.ID, "", f)
}

func (h webhooks) replayMatching(w http.ResponseWriter, r *http.Request, hook, id string, f store.DeliveryFilter) {
	n, err := h.Store.Replay(r.Context(), hook, f, id, time.Now())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.Webhooks.Wake()
	h.Log.InfoContext(r.Context(), "deliveries replayed", "webhook_id", hook, "deliveries", n)
	httpx.WriteJSON(w, http.StatusAccepted, api.Replayed{Deliveries: n})
}
