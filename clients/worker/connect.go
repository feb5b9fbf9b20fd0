package worker

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/attempt"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/farm"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/pull"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// maxDisconnected is how long the bus may be away before the worker joins again: its address may have changed.
	maxDisconnected = 10 * time.Second
	// connectRetry follows a failed connect.
	connectRetry = time.Second
	// pingInterval is that of the connection's own pings: a heartbeat without an answer shows a dead server sooner.
	pingInterval = 10 * time.Minute
)

// stayConnected joins, connects and works over that connection, again and again. It returns nil when ctx ends, and an error if the server
// refuses the worker. Hand-outs are pulled while intake lasts.
func (w *Worker) stayConnected(ctx, intake context.Context) error {
	var c *farm.Conn
	defer func() {
		if c != nil {
			c.NATS.Close()
		}
	}()
	for ctx.Err() == nil {
		next, err := w.connect(ctx, c)
		if err != nil {
			return err
		}
		if next == nil {
			continue
		}
		if next != c {
			w.use(next)
			if c != nil {
				c.NATS.Close()
			}
			c = next
		}
		for w.serve(ctx, intake, c) {
			w.log.InfoContext(ctx, "bus reconnected")
		}
	}
	return nil
}

// connect returns a new connection after a join, or the old one if it came back meanwhile. It returns nil if ctx ended or the bus could not
// be reached.
func (w *Worker) connect(ctx context.Context, old *farm.Conn) (*farm.Conn, error) {
	isBack := func() bool { return old != nil && old.NATS.IsConnected() }
	resp, err := w.join(ctx, isBack)
	switch {
	case err != nil:
		return nil, err
	case resp.WorkerID == "":
		return old, nil
	}
	// A refusal may be temporary (the other side restarts). The caller tries again, with a new join.
	nc, err := w.deps.Dial(bus.Config{
		URL: cmp.Or(w.cfg.BusURL, resp.BusURL), Name: "worker " + w.cfg.Name, User: resp.WorkerID, Password: resp.Secret,
		InboxPrefix: bus.InboxPrefix(resp.WorkerID), TLS: w.deps.TLS, Options: []nats.Option{nats.PingInterval(pingInterval)},
	}, w.log)
	if err != nil {
		w.log.WarnContext(ctx, "connect to bus failed", "bus", cmp.Or(w.cfg.BusURL, resp.BusURL), "err", err)
		_ = backoff.Sleep(ctx, connectRetry) // the caller notices the end of ctx
		return nil, nil
	}
	js, err := bus.JetStream(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	w.log.InfoContext(ctx, "joined", "worker_id", resp.WorkerID, "pool", resp.Pool, "platforms", resp.Platforms, "slots", w.cfg.Slots)
	return &farm.Conn{WorkerID: resp.WorkerID, Pool: resp.Pool, Platforms: resp.Platforms, NATS: nc, JS: js}, nil
}

// use makes c the connection in use. A worker with a new identity holds no leases any more.
func (w *Worker) use(c *farm.Conn) {
	if old := w.farm.Conn(); old != nil && old.WorkerID != c.WorkerID {
		w.builds.AbandonAll(attempt.ErrNewIdentity)
	}
	w.farm.Use(c)
}

// serve works over a connection. It returns true if the connection was lost and is back, so that pulls must start again, and false if life
// has ended or the worker must join again.
//
// Builds run within life and not within the connection: they outlive it.
func (w *Worker) serve(life, intake context.Context, c *farm.Conn) (again bool) {
	ctx, cancel := context.WithCancel(life)
	pulling, stop := context.WithCancel(ctx)
	defer context.AfterFunc(intake, stop)()
	var loops sync.WaitGroup
	defer loops.Wait()
	defer stop()
	defer cancel()
	status := c.NATS.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer c.NATS.RemoveStatusListener(status)
	loops.Go(func() { w.presence.Run(ctx, c.WorkerID) })
	loops.Go(func() { w.receiveOrders(ctx, pulling, life, c) })
	for _, platform := range c.Platforms {
		loops.Go(func() { w.pull(pulling, life, c, platform) })
	}
	return w.watch(ctx, c, status)
}

// pull pulls hand-outs of a platform after the first sync. Their builds run within life.
func (w *Worker) pull(ctx, life context.Context, c *farm.Conn, platform string) {
	select {
	case <-w.synced:
	case <-ctx.Done():
		return
	}
	pull.New(pull.Config{
		Conn: c.NATS, Pool: c.Pool, Platform: platform, Slots: w.slots, Pace: &w.pace, Log: w.log,
		Handle: func(m *nats.Msg) { w.claim(life, m) },
	}).Run(ctx)
}
