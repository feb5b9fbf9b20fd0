package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// NewWebhook is the body of POST /webhooks and PATCH /webhooks/{id}. What is left out has its default, or stays.
type NewWebhook struct {
	// URL gets the deliveries, by POST. Of format github it is the base of its API, https://api.github.com by default.
	URL *string `json:"url,omitempty"`
	// Format is cloudevents (the default), eas, slack or github.
	Format *string `json:"format,omitempty"`
	// Events are names and patterns with *, such as build.failed or build.*; by default the three that end a build, and of
	// format github also build.submitted and build.started.
	Events *[]string `json:"events,omitempty"`
	// Project whose builds it is for; all if empty.
	Project     *string `json:"project,omitempty"`
	Description *string `json:"description,omitempty"`
	// Secret of 16 to 256 bytes that deliveries are signed with; one is made if there is none.
	Secret *string `json:"secret,omitempty"`
	// Token is shown to GitHub and to nobody else; it must be allowed to write commit statuses.
	Token   *string `json:"token,omitempty"`
	Enabled *bool   `json:"enabled,omitempty"`
}

// Webhook sends events to a URL.
type Webhook struct {
	ID          string   `json:"id"`
	URL         string   `json:"url"`
	Format      string   `json:"format"`
	Events      []string `json:"events"`
	Project     string   `json:"project,omitempty"`
	Description string   `json:"description,omitempty"`
	Enabled     bool     `json:"enabled"`
	// DisabledReason says why the gateway disabled it.
	DisabledReason string `json:"disabled_reason,omitempty"`
	CreatedAt      string `json:"created_at"`
	// FailingSince is when deliveries began to fail, if they do.
	FailingSince string `json:"failing_since,omitempty"`
	SucceededAt  string `json:"succeeded_at,omitempty"`
}

// CreatedWebhook is the answer to POST /webhooks, the only one with the secret.
type CreatedWebhook struct {
	Webhook
	Secret string `json:"secret"`
}

// WebhookList is all webhooks, the oldest first.
type WebhookList struct {
	Webhooks []Webhook `json:"webhooks"`
}

// Delivery is one event for one webhook.
type Delivery struct {
	// ID is the same however often it is sent.
	ID        string `json:"id"`
	WebhookID string `json:"webhook_id"`
	EventID   string `json:"event_id"`
	Event     string `json:"event"`
	// Subject is the id of the build or worker.
	Subject string `json:"subject"`
	// State is pending, delivered, dead (it was tried as often as it may be) or skipped (it goes nowhere; Note says why).
	State string `json:"state"`
	Note  string `json:"note,omitempty"`
	// Path is where below the webhook's URL it goes.
	Path      string `json:"path,omitempty"`
	Attempts  int    `json:"attempts"`
	CreatedAt string `json:"created_at"`
	NextAt    string `json:"next_at,omitempty"`
	EndedAt   string `json:"ended_at,omitempty"`
	// Log and Body are filled when one delivery is asked for, not in lists.
	Log  []DeliveryAttempt `json:"log,omitempty"`
	Body json.RawMessage   `json:"body,omitempty"`
}

// DeliveryAttempt is one try. Status is 0 if there was no answer.
type DeliveryAttempt struct {
	At     string `json:"at"`
	Status int    `json:"status"`
	Error  string `json:"error,omitempty"`
	TookMs int64  `json:"took_ms"`
}

// DeliveryList is one page, newest first. Next is the cursor of the following page, empty at the end.
type DeliveryList struct {
	Deliveries []Delivery `json:"deliveries"`
	Next       string     `json:"next,omitempty"`
}

// Replayed says how many deliveries are sent again.
type Replayed struct {
	Deliveries int64 `json:"deliveries"`
}

// WebhooksService manages webhooks and their deliveries.
type WebhooksService struct{ conn *conn }

func webhookPath(id, tail string) string { return Path + "/webhooks/" + url.PathEscape(id) + tail }

// Create adds a webhook. Its secret is in this answer and in no other.
func (s *WebhooksService) Create(ctx context.Context, w NewWebhook) (made CreatedWebhook, err error) {
	err = s.conn.call(ctx, http.MethodPost, Path+"/webhooks", w, &made)
	return made, err
}

// List reads all webhooks, oldest first.
func (s *WebhooksService) List(ctx context.Context) (list WebhookList, err error) {
	err = s.conn.call(ctx, http.MethodGet, Path+"/webhooks", nil, &list)
	return list, err
}

// Update changes the fields of a webhook that are not nil.
func (s *WebhooksService) Update(ctx context.Context, id string, w NewWebhook) (changed Webhook, err error) {
	err = s.conn.call(ctx, http.MethodPatch, webhookPath(id, ""), w, &changed)
	return changed, err
}

// Delete removes a webhook with its deliveries.
func (s *WebhooksService) Delete(ctx context.Context, id string) (gone Webhook, err error) {
	err = s.conn.call(ctx, http.MethodDelete, webhookPath(id, ""), nil, &gone)
	return gone, err
}

// Test begins the delivery of a ping event and returns it as it is then.
func (s *WebhooksService) Test(ctx context.Context, id string) (d Delivery, err error) {
	err = s.conn.call(ctx, http.MethodPost, webhookPath(id, "/test"), nil, &d)
	return d, err
}

// DeliveryOptions filter deliveries; empty fields do not filter. From and To are RFC 3339.
type DeliveryOptions struct {
	State, From, To string
	Limit           int
	Before          string
}

func (o DeliveryOptions) query() string {
	q := url.Values{}
	for name, value := range map[string]string{"state": o.State, "from": o.From, "to": o.To, "before": o.Before} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	return "?" + q.Encode()
}

// ListDeliveries reads a page of a webhook's deliveries, newest first.
func (s *WebhooksService) ListDeliveries(ctx context.Context, hook string, o DeliveryOptions) (list DeliveryList, err error) {
	err = s.conn.call(ctx, http.MethodGet, webhookPath(hook, "/deliveries")+o.query(), nil, &list)
	return list, err
}

// GetDelivery reads a delivery with its attempts and its body.
func (s *WebhooksService) GetDelivery(ctx context.Context, hook, id string) (d Delivery, err error) {
	err = s.conn.call(ctx, http.MethodGet, webhookPath(hook, "/deliveries/"+url.PathEscape(id)), nil, &d)
	return d, err
}

// Replay sends a delivery again.
func (s *WebhooksService) Replay(ctx context.Context, hook, id string) (r Replayed, err error) {
	err = s.conn.call(ctx, http.MethodPost, webhookPath(hook, "/deliveries/"+url.PathEscape(id)+"/replay"), nil, &r)
	return r, err
}

// ReplayAll sends all deliveries again that the options choose. Limit and Before are ignored.
func (s *WebhooksService) ReplayAll(ctx context.Context, hook string, o DeliveryOptions) (r Replayed, err error) {
	err = s.conn.call(ctx, http.MethodPost, webhookPath(hook, "/replay")+DeliveryOptions{State: o.State, From: o.From, To: o.To}.query(), nil, &r)
	return r, err
}
