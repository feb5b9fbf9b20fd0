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
	// pullBeatLeast and pullBeatMost bound how often the server says that a pull still waits: as seldom as the worker itself speaks,
	// within these. Who is needed meanwhile and not asked is woken.
	pullBeatLeast, pullBeatMost = 10 * time.Second, time.Minute
	// pullBeats is how many of them a pull waits at the server. A hand-out reaches us at once then.
	pullBeats = 6
	// pullAgain follows a pull that the server turned down.
	pullAgain = 250 * time.Millisecond
	// nakDelay keeps a hand-out away that arrived just as the last slot was taken, or a pull ended. Without a delay the server would
	// deliver it again at once, perhaps to the pull of this worker that it just came from.
	nakDelay = 100 * time.Millisecond
)

// lane is one platform's queue of our pool.
//
// The pulls are raw: one message each, one subscription for as long as none is in doubt. So ending never loses a hand-out in a
// half-closed iterator, and the worker needs no permission but to pull.
type lane struct {
	w       *Worker
	nc      *nats.Conn
	subject string
	sub     *nats.Subscription // nil before the first pull and after one that is in doubt

	mu sync.Mutex
	// rouse ends the wait for what a pull brings; nil while there is none.
	rouse func()
}

// pull takes hand-outs of one platform while ctx lasts and a slot is free; they run within life.
func (w *Worker) pull(ctx, life context.Context, c *conn, platform string) {
	select {
	case <-w.ready:
	case <-ctx.Done():
		return
	}
	l := &lane{
		w: w, nc: c.nc,
		subject: "$JS.API.CONSUMER.MSG.NEXT." + bus.QueueStream + "." + bus.QueueConsumer(c.pool, platform),
	}
	defer l.leave()
	wake, err := c.nc.Subscribe(bus.WakeSubject(c.pool, platform), func(*nats.Msg) { l.wake() })
	if err != nil {
		w.log.WarnContext(ctx, "cannot be woken on this connection", "err", err)
		return
	}
	defer wake.Unsubscribe() //nolint:errcheck // the connection is gone then
	for w.slots.await(ctx) {
		err := l.turn(ctx, life)
		if err == nil {
			continue
		}
		w.log.DebugContext(ctx, "pull turned down", "platform", platform, "err", err)
		if !pause(ctx, pullAgain/2+rand.N(pullAgain)) {
			return
		}
	}
}

// turn makes one pull and waits for what it brings.
func (l *lane) turn(ctx, life context.Context) (err error) {
	if l.sub == nil {
		if l.sub, err = l.nc.SubscribeSync(l.nc.NewInbox()); err != nil {
			return err
		}
	}
	beat := min(max(l.w.pace.Load().beat, pullBeatLeast), pullBeatMost)
	request, err := json.Marshal(map[string]any{"batch": 1, "expires": pullBeats * beat, "idle_heartbeat": beat})
	if err != nil {
		return err
	}
	if err := l.nc.PublishRequest(l.subject, l.sub.Subject, request); err != nil {
		return err
	}
	err = l.receive(ctx, life, beat)
	if errors.Is(err, errDoubt) || errors.Is(err, errFull) {
		l.leave() // the server may hold the pull still: a hand-out must not come for it while we build another
		return nil
	}
	return err
}

// errDoubt: whether the pull still waits at the server is not known.
var errDoubt = errors.New("pull in doubt")

// errFull: the last slot was taken while the pull waited.
var errFull = errors.New("no slot is free")

// receive waits for what a pull brings: a hand-out, its expiry, or a reason to pause before the next one. A pull of which the
// server says nothing for two of its beats found the queue full, and has another turn after a while, or when we are woken.
func (l *lane) receive(ctx, life context.Context, beat time.Duration) error {
	began, waits, turnedAway := time.Now(), false, false
	for {
		patience := 2*beat + time.Second
		if turnedAway {
			patience = about(l.w.pace.Load().ask)
		}
		m, err := l.next(ctx, patience)
		if errors.Is(err, context.DeadlineExceeded) && !waits && !turnedAway {
			turnedAway = true
			continue
		}
		if errors.Is(err, context.DeadlineExceeded) {
			if time.Since(began) > (pullBeats+1)*beat {
				return nil // wherever it was, it has expired
			}
			return errDoubt
		}
		if err != nil {
			return err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			l.w.offer(life, m)
			return nil
		case "100":
			waits, turnedAway = true, false
		case "404", "408": // expired
			return nil
		default:
			return errors.New(status + " " + m.Header.Get("Description"))
		}
	}
}

// next waits for a message. Woken, it waits for a moment of its own, so that not all who are woken pull at once, and gives errDoubt: a
// hand-out lies there that nobody takes, so a pull that waits may be lost.
func (l *lane) next(ctx context.Context, patience time.Duration) (*nats.Msg, error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	calm, rouse := context.WithCancelCause(patient)
	defer rouse(nil)
	l.onWake(func() { rouse(errDoubt) })
	defer l.onWake(nil)
	l.w.slots.whenFull(l, func() { rouse(errFull) })
	defer l.w.slots.whenFull(l, nil)
	m, err := l.sub.NextMsgWithContext(calm)
	if err == nil {
		return m, nil
	}
	switch cause := context.Cause(calm); {
	case errors.Is(cause, errFull):
		return nil, errFull
	case !errors.Is(cause, errDoubt):
		return nil, err
	}
	spread, cancel := context.WithTimeout(ctx, rand.N(l.w.pace.Load().hurry()))
	defer cancel()
	if m, err = l.sub.NextMsgWithContext(spread); errors.Is(err, context.DeadlineExceeded) {
		return nil, errDoubt
	}
	return m, err
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

// leave ends the subscription. The server drops a pull whose inbox is gone; what arrived meanwhile is given back.
func (l *lane) leave() {
	if l.sub != nil {
		l.w.returnRest(l.sub)
		l.sub = nil
	}
}

// returnRest gives back hand-outs that arrived as the subscription ended.
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
			_ = m.NakWithDelay(nakDelay)
		}
	}
}

// offer begins with a hand-out if there is a slot, else returns it.
func (w *Worker) offer(life context.Context, m *nats.Msg) {
	if !w.slots.take() {
		_ = m.NakWithDelay(nakDelay)
		return
	}
	// slots.close waits for it.
	go func() {
		defer w.slots.give()
		w.claim(life, m)
	}()
}
