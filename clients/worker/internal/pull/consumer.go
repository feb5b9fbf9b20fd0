package pull

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/pace"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/slots"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// minIdleHeartbeat and maxIdleHeartbeat bound how often the bus confirms that a pull still waits. Within them it is as rare as
	// the worker's own heartbeats: a worker that is needed meanwhile is woken.
	minIdleHeartbeat, maxIdleHeartbeat = 10 * time.Second, time.Minute
	// pullHeartbeats is how many of these intervals a pull waits at the bus.
	pullHeartbeats = 6
	// retryDelay follows a pull that the bus refused.
	retryDelay = 250 * time.Millisecond
	// nakDelay delays a hand-out that arrived as the last slot was taken, or as a pull ended. Without it the bus would deliver the
	// hand-out again at once, perhaps to the same worker.
	nakDelay = 100 * time.Millisecond
)

// Config of a Consumer.
type Config struct {
	Conn           *nats.Conn
	Pool, Platform string
	Slots          *slots.Slots
	Pace           *pace.Current
	// Handle gets a hand-out. It runs in a goroutine and holds a slot, which is released when it returns; Slots.Close waits for it.
	Handle func(*nats.Msg)
	Log    *slog.Logger
}

// Consumer pulls from the queue of one pool and platform.
type Consumer struct {
	Config

	subject string
	sub     *nats.Subscription // nil before the first pull and after one that is in doubt

	mu sync.Mutex
	// wakeUp interrupts the wait for a message; nil while there is none.
	wakeUp func()
}

// New returns a consumer; it pulls nothing until Run.
func New(cfg Config) *Consumer {
	return &Consumer{
		Config: cfg, subject: "$JS.API.CONSUMER.MSG.NEXT." + bus.QueueStream + "." + bus.QueueConsumer(cfg.Pool, cfg.Platform),
	}
}

// Run pulls while a slot is free, until ctx ends.
func (c *Consumer) Run(ctx context.Context) {
	defer c.unsubscribe()
	wake, err := c.Conn.Subscribe(bus.WakeSubject(c.Pool, c.Platform), func(*nats.Msg) { c.wake() })
	if err != nil {
		c.Log.WarnContext(ctx, "subscribe to wake-ups failed", "platform", c.Platform, "err", err)
		return
	}
	defer wake.Unsubscribe() //nolint:errcheck // the connection is gone then
	for c.Slots.Wait(ctx) {
		err := c.pull(ctx)
		if err == nil {
			continue
		}
		c.Log.DebugContext(ctx, "pull refused", "platform", c.Platform, "err", err)
		if backoff.Sleep(ctx, retryDelay/2+rand.N(retryDelay)) != nil {
			return
		}
	}
}

var (
	// errInDoubt: it is unknown whether the pull still waits at the bus.
	errInDoubt = errors.New("pull in doubt")
	// errFull: the last slot was taken while the pull waited.
	errFull = errors.New("no slot is free")
)

// pull makes one pull and waits for its outcome.
func (c *Consumer) pull(ctx context.Context) (err error) {
	if c.sub == nil {
		if c.sub, err = c.Conn.SubscribeSync(c.Conn.NewInbox()); err != nil {
			return err
		}
	}
	interval := min(max(c.Pace.Load().Heartbeat, minIdleHeartbeat), maxIdleHeartbeat)
	request, err := json.Marshal(map[string]any{"batch": 1, "expires": pullHeartbeats * interval, "idle_heartbeat": interval})
	if err != nil {
		return err
	}
	if err := c.Conn.PublishRequest(c.subject, c.sub.Subject, request); err != nil {
		return err
	}
	err = c.receive(ctx, interval)
	if errors.Is(err, errInDoubt) || errors.Is(err, errFull) {
		c.unsubscribe() // the bus may hold the pull still: a hand-out must not come for it while another build runs
		return nil
	}
	return err
}

// receive waits until a pull has brought a hand-out or has expired, or returns why to pause before the next one. A pull that the bus
// does not confirm for two intervals was turned away since the queue has enough; it is repeated after Pace.PullRetry, or on a wake-up.
func (c *Consumer) receive(ctx context.Context, interval time.Duration) error {
	began, waits, turnedAway := time.Now(), false, false
	for {
		timeout := 2*interval + time.Second
		if turnedAway {
			timeout = pace.Jitter(c.Pace.Load().PullRetry)
		}
		m, err := c.next(ctx, timeout)
		if errors.Is(err, context.DeadlineExceeded) && !waits && !turnedAway {
			turnedAway = true
			continue
		}
		if errors.Is(err, context.DeadlineExceeded) {
			if time.Since(began) > (pullHeartbeats+1)*interval {
				return nil // wherever it was, it has expired
			}
			return errInDoubt
		}
		if err != nil {
			return err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			c.start(m)
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

// next waits for a message. A wake-up means that nobody takes a hand-out, so a pull that waits may be lost: next returns errInDoubt after
// a random delay, so that woken workers do not all pull at once.
func (c *Consumer) next(ctx context.Context, timeout time.Duration) (*nats.Msg, error) {
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	waiting, interrupt := context.WithCancelCause(timed)
	defer interrupt(nil)
	c.onWake(func() { interrupt(errInDoubt) })
	defer c.onWake(nil)
	c.Slots.OnFull(c, func() { interrupt(errFull) })
	defer c.Slots.OnFull(c, nil)
	m, err := c.sub.NextMsgWithContext(waiting)
	if err == nil {
		return m, nil
	}
	switch cause := context.Cause(waiting); {
	case errors.Is(cause, errFull):
		return nil, errFull
	case !errors.Is(cause, errInDoubt):
		return nil, err
	}
	spread, cancel := context.WithTimeout(ctx, rand.N(c.Pace.Load().WakeSpread()))
	defer cancel()
	if m, err = c.sub.NextMsgWithContext(spread); errors.Is(err, context.DeadlineExceeded) {
		return nil, errInDoubt
	}
	return m, err
}

func (c *Consumer) onWake(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeUp = f
}

func (c *Consumer) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wakeUp != nil {
		c.wakeUp()
	}
}

// unsubscribe ends the subscription. The bus drops a pull whose inbox is gone; hand-outs that arrived meanwhile go back to the queue.
func (c *Consumer) unsubscribe() {
	sub := c.sub
	if c.sub = nil; sub == nil || sub.Drain() != nil {
		return // without a connection the bus delivers them again
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

// start handles a hand-out if there is a slot, and returns it to the queue otherwise.
func (c *Consumer) start(m *nats.Msg) {
	if !c.Slots.TryAcquire() {
		_ = m.NakWithDelay(nakDelay)
		return
	}
	go func() { // Slots.Close waits for it
		defer c.Slots.Release()
		c.Handle(m)
	}()
}
