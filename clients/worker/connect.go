package worker

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// awayMax is how long the bus may be away before the worker joins again: its address may have changed.
	awayMax = 10 * time.Second
	// syncEvery repeats the comparison with the scheduler: an order to cancel may have got lost. While nothing runs here there is
	// none, and the pace says how often to compare: not at once, since it grows while many come. syncAgain follows a failure.
	syncEvery = 30 * time.Second
	syncSlows = 4
	syncAgain = time.Second
	// pingEvery is how often the connection asks whether the server is there: a beat that is not answered tells sooner.
	pingEvery = 10 * time.Minute
)

// stayConnected joins, connects and works over that connection, again and again, until ctx ends (nil) or the server
// refuses the worker. Hand-outs are taken while intake lasts.
func (w *Worker) stayConnected(ctx, intake context.Context) error {
	var c *conn
	defer func() {
		if c != nil {
			c.nc.Close()
		}
	}()
	for ctx.Err() == nil {
		next, err := w.reach(ctx, c)
		if err != nil {
			return err
		}
		if next == nil {
			continue
		}
		if next != c {
			w.adopt(next)
			if c != nil {
				c.nc.Close()
			}
			c = next
		}
		for w.serve(ctx, intake, c) {
			w.log.InfoContext(ctx, "bus connection is back")
		}
	}
	return nil
}

// reach returns a working connection: a new one after a join, or the old one if it came back meanwhile; nil if ctx ended or
// the bus could not be reached.
func (w *Worker) reach(ctx context.Context, old *conn) (*conn, error) {
	back := func() bool { return old != nil && old.nc.IsConnected() }
	resp, err := w.join(ctx, back)
	switch {
	case err != nil:
		return nil, err
	case resp.WorkerID == "":
		return old, nil
	}
	// A refusal may be a moment's (the far side restarts): trying again is for reach's caller, with a fresh join.
	nc, err := w.deps.Dial(bus.Config{
		URL: cmp.Or(w.cfg.BusURL, resp.BusURL), Name: "worker " + w.cfg.Name, User: resp.WorkerID, Password: resp.Secret,
		InboxPrefix: bus.InboxPrefix(resp.WorkerID), TLS: w.deps.TLS, Options: []nats.Option{nats.PingInterval(pingEvery)},
	}, w.log)
	if err != nil {
		w.log.WarnContext(ctx, "cannot connect to the bus yet", "bus", cmp.Or(w.cfg.BusURL, resp.BusURL), "err", err)
		pause(ctx, time.Second)
		return nil, nil
	}
	js, err := bus.JetStream(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	w.log.InfoContext(ctx, "joined", "worker_id", resp.WorkerID, "pool", resp.Pool, "platforms", resp.Platforms, "slots", w.cfg.Slots)
	return &conn{id: resp.WorkerID, pool: resp.Pool, platforms: resp.Platforms, nc: nc, js: js}, nil
}

// adopt makes c the connection in use. Under a new name nothing is held any more.
func (w *Worker) adopt(c *conn) {
	if old := w.link.get(); old != nil && old.id != c.id {
		w.held.dropAll(errNewName)
	}
	w.link.set(c)
}

// serve works over a connection until ctx ends or the connection is of no use (false: join again), or it was lost and is
// back (true: begin anew, the server has forgotten our pulls).
//
// Builds run within life and not within the connection: they outlive it.
func (w *Worker) serve(life, intake context.Context, c *conn) (again bool) {
	ctx, cancel := context.WithCancel(life)
	taking, stop := context.WithCancel(ctx)
	defer context.AfterFunc(intake, stop)()
	var loops sync.WaitGroup
	defer loops.Wait()
	defer stop()
	defer cancel()
	status := c.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer c.nc.RemoveStatusListener(status)
	loops.Go(func() { w.present(ctx, c) })
	loops.Go(func() { w.obey(ctx, c) })
	for _, p := range c.platforms {
		loops.Go(func() { w.pull(taking, life, c, p) })
	}
	return w.watch(ctx, c, status)
}

// watch keeps the scheduler and this worker of one mind, and an eye on the connection.
func (w *Worker) watch(ctx context.Context, c *conn, status <-chan nats.Status) (again bool) {
	away := time.NewTimer(awayMax)
	defer away.Stop()
	if c.nc.IsConnected() {
		away.Stop()
	}
	sync := time.NewTimer(0)
	defer sync.Stop()
	var synced time.Time
	idle := syncEvery / syncSlows // between two syncs while nothing runs
	for {
		select {
		case <-ctx.Done():
			return false
		case <-away.C:
			w.log.WarnContext(ctx, "the bus is out of reach; joining again", "for", awayMax)
			return false
		case s := <-status:
			switch s {
			case nats.CONNECTED:
				return true
			case nats.CLOSED:
				return false
			default:
				away.Reset(awayMax)
				continue
			}
		case <-w.resync:
		case <-sync.C:
			if w.held.empty() && time.Since(synced) < idle {
				sync.Reset(about(syncEvery))
				continue
			}
		}
		next, err := w.sync(ctx)
		if errors.Is(err, build.ErrWorkerUnknown) {
			w.log.WarnContext(ctx, "the scheduler does not know this worker; joining again")
			pause(ctx, syncAgain)
			return false
		}
		synced, idle = time.Now(), min(syncSlows*idle, w.pace.Load().sync)
		if err != nil {
			synced = time.Time{}
		}
		sync.Reset(next)
	}
}

// sync tells the scheduler what runs here and ends what is not ours any more. It says when to do so again.
func (w *Worker) sync(ctx context.Context) (next time.Duration, err error) {
	fresh := true
	select {
	case <-w.ready:
		fresh = false
	default:
	}
	paused := w.awake.pauses.Count()
	resp, err := w.scheduler().Sync(ctx, &schedulerv1.SyncRequest{
		WorkerId: w.link.get().id, Holding: w.held.leases(), Slots: int32(w.cfg.Slots), Fresh: fresh, Draining: w.draining.Load(),
		Leaving: w.leaving.Load(),
	})
	if err != nil {
		if ctx.Err() == nil {
			w.log.WarnContext(ctx, "cannot compare with the scheduler yet", "err", err)
		}
		return syncAgain, err
	}
	for _, l := range resp.GetLost() {
		w.held.drop(lease{l.GetBuildId(), l.GetAttempt()}, errLeaseLost)
	}
	w.awake.synced.Store(paused)
	w.pace.Store(paceFrom(resp.GetPace()))
	w.readyOnce.Do(func() { close(w.ready) })
	return syncEvery, nil
}
