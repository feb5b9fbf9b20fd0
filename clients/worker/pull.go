package worker

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// pullExpires is how long a pull waits at the server. It costs little there, and a hand-out reaches us at once.
	pullExpires = 30 * time.Second
	// pullBeat is how often the server says that the pull still waits; without word for two of them it is lost.
	pullBeat   = 5 * time.Second
	pullSilent = 2*pullBeat + time.Second
	// pullAgain follows a pull that the server turned down.
	pullAgain = 250 * time.Millisecond
)

// lane is one platform's queue of our pool.
//
// The pulls are raw: one message each, one subscription for all. So ending never loses a hand-out in a half-closed iterator,
// and the worker needs no permission but to pull.
type lane struct {
	w        *Worker
	platform string
	sub      *nats.Subscription

	mu sync.Mutex
	// rouse ends the wait of a lane that was turned away; nil while it is not.
	rouse func()
}

// pull takes hand-outs of one platform while ctx lasts and a slot is free; they run within life.
func (w *Worker) pull(ctx, life context.Context, c *conn, platform string) {
	select {
	case <-w.ready:
	case <-ctx.Done():
		return
	}
	l := &lane{w: w, platform: platform}
	inbox := c.nc.NewInbox()
	var err error
	if l.sub, err = c.nc.SubscribeSync(inbox); err != nil {
		w.log.WarnContext(ctx, "cannot pull on this connection", "err", err)
		return
	}
	defer w.returnRest(l.sub)
	wake, err := c.nc.Subscribe(bus.WakeSubject(c.pool, platform), func(*nats.Msg) { l.wake() })
	if err != nil {
		w.log.WarnContext(ctx, "cannot be woken on this connection", "err", err)
		return
	}
	defer wake.Unsubscribe() //nolint:errcheck // the connection is gone then
	subject := "$JS.API.CONSUMER.MSG.NEXT." + bus.QueueStream + "." + bus.QueueConsumer(c.pool, platform)
	request, err := json.Marshal(map[string]any{"batch": 1, "expires": pullExpires, "idle_heartbeat": pullBeat})
	if err != nil {
		return // cannot be
	}
	for w.slots.await(ctx) {
		err := c.nc.PublishRequest(subject, inbox, request)
		if err == nil {
			err = l.receive(ctx, life)
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

// receive waits for what a pull brings: a hand-out, its expiry, or a reason to pause before the next one. A pull of which the
// server says nothing at all found the queue full, and is made again after a while, or when we are woken.
func (l *lane) receive(ctx, life context.Context) error {
	waits := false
	for {
		m, err := l.next(ctx, pullSilent)
		if errors.Is(err, context.DeadlineExceeded) && !waits {
			m, err = l.standBy(ctx)
		}
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errWoken) {
			return nil // lost, or another turn: pull anew
		}
		if err != nil {
			return err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			l.w.offer(life, m)
			return nil
		case "100":
			waits = true
		case "404", "408": // expired
			return nil
		default:
			return errors.New(status + " " + m.Header.Get("Description"))
		}
	}
}

func (l *lane) next(ctx context.Context, patience time.Duration) (*nats.Msg, error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return l.sub.NextMsgWithContext(patient) //nolint:wrapcheck // only logged
}

// errWoken ends a wait: hand-outs lie in the queue that nobody takes.
var errWoken = errors.New("woken")

// standBy waits for another turn at a full queue. What comes meanwhile all the same is taken.
func (l *lane) standBy(ctx context.Context) (*nats.Msg, error) {
	p := l.w.pace.Load()
	patient, cancel := context.WithTimeout(ctx, about(p.ask))
	defer cancel()
	calm, rouse := context.WithCancelCause(patient)
	defer rouse(nil)
	l.onWake(func() { rouse(errWoken) })
	defer l.onWake(nil)
	m, err := l.sub.NextMsgWithContext(calm)
	if err == nil || !errors.Is(context.Cause(calm), errWoken) {
		return m, err //nolint:wrapcheck // only logged
	}
	if m, err := l.next(ctx, rand.N(p.hurry())); err == nil {
		return m, nil
	}
	return nil, errWoken
}

func (l *lane) onWake(rouse func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rouse = rouse
}

func (l *lane) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rouse != nil {
		l.rouse()
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
