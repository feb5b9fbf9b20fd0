package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Wake triggers a round of sending.
func (s *Service) Wake() {
	s.wake.Wake()
}

const (
	batchSize = 100
	batchMax  = 500
	batchWait = 50 * time.Millisecond
)

// consumeLoop turns events into deliveries.
func (s *Service) consumeLoop(ctx context.Context) error {
	return bus.ConsumeLoop(ctx, s.log, func() error {
		return bus.ConsumeBatches(ctx, s.js, bus.Consumer{
			Stream: bus.EventsStream, Durable: "ingest-webhooks", Filters: []string{bus.BuildSubjects("*"), bus.WorkerSubjects("*")},
			FromNow: true, AckWait: time.Minute,
		}, bus.Batch{Size: batchSize, Most: batchMax, Wait: batchWait}, s.consume, s.log)
	})
}

func (s *Service) consume(ctx context.Context, msgs []jetstream.Msg) error {
	all, err := s.store.Webhooks(ctx)
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
		some, err := s.deliveriesOf(ctx, m, enabled)
		if err != nil {
			return err
		}
		deliveries = append(deliveries, some...)
	}
	if len(deliveries) == 0 {
		return nil
	}
	if err := s.store.AddDeliveries(ctx, deliveries); err != nil {
		return err
	}
	s.Wake()
	return nil
}

// deliveriesOf returns the deliveries of an event, none for an invalid event.
func (s *Service) deliveriesOf(ctx context.Context, m jetstream.Msg, enabled []store.Webhook) ([]store.Delivery, error) {
	e, err := eventOf(m)
	if err != nil {
		s.log.DebugContext(ctx, "event without webhooks", "subject", m.Subject(), "err", err)
		return nil, nil
	}
	var matching []store.Webhook
	for _, w := range enabled {
		if Matches(Format(w.Format), w.Events, e.Name) {
			matching = append(matching, w)
		}
	}
	if len(matching) == 0 {
		return nil, nil
	}
	if err := s.describe(ctx, &e); err != nil {
		return nil, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	var all []store.Delivery
	for _, w := range matching {
		if w.Project != "" && (e.Build == nil || e.Build.Project != w.Project) {
			continue
		}
		d, err := NewDelivery(w, e, int64(meta.Sequence.Stream))
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// NewDelivery renders an event for a webhook. place is the event's sequence in its stream, 0 for a
// ping.
func NewDelivery(w store.Webhook, e Event, place int64) (store.Delivery, error) {
	body, err := Render(Format(w.Format), e)
	if err != nil {
		return store.Delivery{}, err
	}
	d := store.Delivery{
		ID: deliveryID(w.ID, e.ID), WebhookID: w.ID, EventID: e.ID, Event: e.Name, Subject: e.Subject, Place: place, Body: string(body),
		CreatedAt: time.Now(), State: store.Pending,
	}
	if d.Path, d.Note = Target(Format(w.Format), e); d.Note != "" {
		d.State = store.Skipped
	}
	return d, nil
}

// deliveryID returns the same id for the same event and webhook.
func deliveryID(hookID, eventID string) string {
	sum := sha256.Sum256([]byte(hookID + " " + eventID))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// eventOf reads an event from the subject, headers and reason of a message.
func eventOf(m jetstream.Msg) (Event, error) {
	id, name, err := bus.ParseEvent(m.Subject())
	if err != nil {
		return Event{}, err
	}
	kind := "build."
	if strings.HasPrefix(m.Subject(), bus.WorkerSubject(id, "")) {
		kind = "worker."
	}
	at, err := time.Parse(time.RFC3339Nano, m.Headers().Get(bus.HeaderTime))
	if err != nil {
		return Event{}, fmt.Errorf("time of the event: %w", err)
	}
	e := Event{ID: m.Headers().Get(bus.HeaderID), Name: kind + string(name), Subject: id, Time: at}
	if e.ID == "" {
		return e, errors.New("the event has no id") // for the log only
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
			return "its worker sent no heartbeat in stage " + s.GetStage()
		}
	}
	return ""
}

// describe adds the build in its present state, if it still exists.
func (s *Service) describe(ctx context.Context, e *Event) error {
	if !strings.HasPrefix(e.Name, "build.") {
		return nil
	}
	v, err := s.deps.Build(ctx, e.Subject)
	if errors.Is(err, build.ErrNotFound) || errors.Is(err, build.ErrExpired) {
		return nil
	}
	if err != nil {
		return err
	}
	e.Build = &v
	if s.cfg.PublicURL != "" {
		public := strings.TrimSuffix(s.cfg.PublicURL, "/")
		e.PageURL = public + "/builds/" + v.ID
		e.BuildURL = public + api.Path + "/builds/" + v.ID
		e.LogURL = e.BuildURL + "/logs"
	}
	return nil
}
