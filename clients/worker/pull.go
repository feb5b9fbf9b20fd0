package worker

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// pullExpires is how long a pull waits at the server. It costs nothing there, and a hand-out reaches us at once.
	pullExpires = 30 * time.Second
	// pullBeat is how often the server says that the pull still waits; without word for two of them it is lost.
	pullBeat   = 5 * time.Second
	pullSilent = 2*pullBeat + time.Second
	// pullAgain follows a pull that the server turned down.
	pullAgain = 250 * time.Millisecond
)

// pull takes hand-outs of one platform while ctx lasts and a slot is free; they run within life.
//
// The pulls are raw: one message each, one subscription for all. So ending never loses a hand-out in a half-closed iterator,
// and the worker needs no permission but to pull.
func (w *Worker) pull(ctx, life context.Context, c *conn, platform string) {
	select {
	case <-w.ready:
	case <-ctx.Done():
		return
	}
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		w.log.WarnContext(ctx, "cannot pull on this connection", "err", err)
		return
	}
	defer w.returnRest(sub)
	subject := "$JS.API.CONSUMER.MSG.NEXT." + bus.QueueStream + "." + bus.QueueConsumer(c.pool, platform)
	request, err := json.Marshal(map[string]any{"batch": 1, "expires": pullExpires, "idle_heartbeat": pullBeat})
	if err != nil {
		return // cannot be
	}
	for w.slots.await(ctx) {
		err := c.nc.PublishRequest(subject, inbox, request)
		if err == nil {
			err = w.receive(ctx, life, sub)
		}
		if err == nil {
			continue
		}
		w.log.DebugContext(ctx, "pull turned down", "platform", platform, "err", err)
		if !pause(ctx, pullAgain/2+rand.N(pullAgain)) {
			return
		}
	}
}

// receive waits for what a pull brings: a hand-out, its expiry, or a reason to pause before the next one.
func (w *Worker) receive(ctx, life context.Context, sub *nats.Subscription) error {
	for {
		patient, cancel := context.WithTimeout(ctx, pullSilent)
		m, err := sub.NextMsgWithContext(patient)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil // lost: pull anew
		}
		if err != nil {
			return err //nolint:wrapcheck // only logged
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			w.offer(life, m)
			return nil
		case "100": // still waiting
		case "404", "408": // expired
			return nil
		default:
			return errors.New(status + " " + m.Header.Get("Description"))
		}
	}
}

// returnRest gives back hand-outs that arrived as the subscription ended. The server drops a pull whose inbox is gone.
func (w *Worker) returnRest(sub *nats.Subscription) {
	if sub.Drain() != nil {
		return // the connection is gone, and the hand-out redelivered
	}
	for {
		m, err := sub.NextMsg(time.Second)
		if err != nil {
			return
		}
		if m.Header.Get("Status") == "" {
			_ = m.Nak()
		}
	}
}

// offer begins with a hand-out if there is a slot, else returns it at once.
func (w *Worker) offer(life context.Context, m *nats.Msg) {
	if !w.slots.take() {
		_ = m.Nak()
		return
	}
	// slots.close waits for it.
	go func() {
		defer w.slots.give()
		w.claim(life, m)
	}()
}
