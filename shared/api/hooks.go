package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

func hookPath(id, tail string) string { return Path + "/webhooks/" + url.PathEscape(id) + tail }

// AddWebhook makes a webhook; its secret is told here and never again.
func (c *Client) AddWebhook(ctx context.Context, w NewWebhook) (made WebhookMade, err error) {
	err = c.call(ctx, http.MethodPost, Path+"/webhooks", w, &made)
	return made, err
}

// Webhooks reads all, the oldest first.
func (c *Client) Webhooks(ctx context.Context) (list WebhookList, err error) {
	err = c.call(ctx, http.MethodGet, Path+"/webhooks", nil, &list)
	return list, err
}

// ChangeWebhook changes what is not nil.
func (c *Client) ChangeWebhook(ctx context.Context, id string, w NewWebhook) (changed Webhook, err error) {
	err = c.call(ctx, http.MethodPatch, hookPath(id, ""), w, &changed)
	return changed, err
}

// RemoveWebhook deletes a webhook with its deliveries.
func (c *Client) RemoveWebhook(ctx context.Context, id string) (gone Webhook, err error) {
	err = c.call(ctx, http.MethodDelete, hookPath(id, ""), nil, &gone)
	return gone, err
}

// TestWebhook sends a trial event. The delivery is only begun when this returns.
func (c *Client) TestWebhook(ctx context.Context, id string) (d Delivery, err error) {
	err = c.call(ctx, http.MethodPost, hookPath(id, "/test"), nil, &d)
	return d, err
}

// DeliveryOptions choose deliveries; what is empty does not choose. From and To are RFC 3339.
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

// Deliveries reads a page of a webhook's, the newest first.
func (c *Client) Deliveries(ctx context.Context, hook string, o DeliveryOptions) (list DeliveryList, err error) {
	err = c.call(ctx, http.MethodGet, hookPath(hook, "/deliveries")+o.query(), nil, &list)
	return list, err
}

// Delivery reads one with its tries and its body.
func (c *Client) Delivery(ctx context.Context, hook, id string) (d Delivery, err error) {
	err = c.call(ctx, http.MethodGet, hookPath(hook, "/deliveries/"+url.PathEscape(id)), nil, &d)
	return d, err
}

// ReplayDelivery sends one again.
func (c *Client) ReplayDelivery(ctx context.Context, hook, id string) (r Replayed, err error) {
	err = c.call(ctx, http.MethodPost, hookPath(hook, "/deliveries/"+url.PathEscape(id)+"/replay"), nil, &r)
	return r, err
}

// ReplayDeliveries sends those again that the options choose, with neither limit nor cursor.
func (c *Client) ReplayDeliveries(ctx context.Context, hook string, o DeliveryOptions) (r Replayed, err error) {
	err = c.call(ctx, http.MethodPost, hookPath(hook, "/replay")+DeliveryOptions{State: o.State, From: o.From, To: o.To}.query(), nil, &r)
	return r, err
}
