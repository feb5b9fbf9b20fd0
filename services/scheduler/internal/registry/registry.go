package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/handout"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/retention"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// Registry is the farm's workers. Make it with New; it is safe for concurrent use.
type Registry struct {
	machine *transition.Machine
	queue   *handout.Queue
	expired *retention.Store
	fleet   fleet
}

// New returns a registry.
func New(machine *transition.Machine, queue *handout.Queue, expired *retention.Store) *Registry {
	return &Registry{machine: machine, queue: queue, expired: expired}
}

const (
	// maxSlots bounds the builds that a worker may run at once.
	maxSlots = 64
	// seenEvery is how exactly it is known when a worker asked last.
	seenEvery = 10 * time.Second
)

// RegisterWorker adds a worker, or replaces what is known of it, and makes the consumers of its lanes.
func (r *Registry) RegisterWorker(ctx context.Context, req *schedulerv1.RegisterWorkerRequest) (*schedulerv1.RegisterWorkerResponse, error) {
	w, err := r.NewWorker(req)
	if err != nil {
		return nil, err
	}
	if err := r.queue.EnsureLanes(ctx, w); err != nil {
		return nil, err
	}
	err = r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.PutWorker(ctx, w); err != nil {
			return err
		}
		if err := store.ReusesIn(tx).SetMachine(ctx, w.ID, req.GetMachine()); err != nil {
			return err
		}
		m, err := bus.NewMessage(ctx, transition.Source, bus.WorkerSubject(w.ID, bus.Registered), w.RegisteredAt, &eventsv1.WorkerRegistered{
			WorkerId: w.ID, Name: w.Name, Pool: w.Pool, Platforms: req.GetPlatforms(), Slots: w.Slots, AtMs: w.RegisteredAt.UnixMilli(),
		})
		if err != nil {
			return err
		}
		if err := tx.Emit(ctx, m); err != nil || !w.Polls {
			return err
		}
		return r.SetOnline(ctx, tx, w, true, 0) // others come online when they connect
	})
	return &schedulerv1.RegisterWorkerResponse{}, err
}

// NewWorker returns the worker of a request; build.ErrInvalid says what is wrong with it.
func (r *Registry) NewWorker(req *schedulerv1.RegisterWorkerRequest) (store.Worker, error) {
	w := store.Worker{
		ID: req.GetWorkerId(), Name: req.GetName(), Pool: req.GetPool(), Slots: max(1, req.GetSlots()), Labels: req.GetLabels(),
		Version: req.GetVersion(), Polls: req.GetPolls(), RegisteredAt: r.machine.Now(),
	}
	if w.Pool == "" {
		w.Pool = build.DefaultPool
	}
	for _, p := range req.GetPlatforms() {
		platform, err := build.ParsePlatform(p)
		if err != nil {
			return w, err
		}
		w.Platforms = append(w.Platforms, platform)
	}
	switch {
	case !build.ValidID(w.ID), w.ID == bus.System:
		return w, fmt.Errorf("%w: worker id %q", build.ErrInvalid, w.ID)
	case !build.ValidID(w.Pool):
		return w, fmt.Errorf("%w: pool %q (letters, digits, _ and -, at most %d)", build.ErrInvalid, w.Pool, build.MaxIDLength)
	case w.Name == "" || len(w.Name) > 200:
		return w, fmt.Errorf("%w: a worker needs a name of at most 200 bytes", build.ErrInvalid)
	case w.Slots > maxSlots:
		return w, fmt.Errorf("%w: %d slots, at most %d", build.ErrInvalid, w.Slots, maxSlots)
	case !w.Polls: // those of API v1 have labels of their own, which no build can require
		return w, w.Labels.Check()
	}
	return w, nil
}

// Sync compares the leases that a worker knows with those that it holds. It returns those that the worker has lost, so that it stops.
// A process that has just started loses at once the leases that it does not name.
func (r *Registry) Sync(ctx context.Context, workerID string, req *schedulerv1.SyncRequest) (*schedulerv1.SyncResponse, error) {
	if req.GetSlots() > maxSlots {
		return nil, fmt.Errorf("%w: %d slots, at most %d", build.ErrInvalid, req.GetSlots(), maxSlots)
	}
	if err := build.Labels(req.GetAbilities().GetLabels()).Check(); err != nil {
		return nil, err
	}
	var lost []*schedulerv1.Lease
	err := r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, workerID)
		if err != nil {
			return err
		}
		held, err := tx.Held(ctx, workerID)
		if err != nil {
			return err
		}
		lost = fencedOff(notHeld(req.GetHolding(), held))
		if req.GetFresh() {
			if err := r.dropForgotten(ctx, tx, req.GetHolding(), held); err != nil {
				return err
			}
		}
		reported := w
		reported.Draining = req.GetDraining() && !req.GetLeaving()
		if a := req.GetAbilities(); a != nil {
			reported.Labels, reported.Offers = a.GetLabels(), a.GetOffers()
		}
		if reported.Draining != w.Draining || reported.Offers != w.Offers || !maps.Equal(reported.Labels, w.Labels) {
			if err := tx.SaveReported(ctx, reported); err != nil {
				return err
			}
		}
		return r.SetOnline(ctx, tx, w, !req.GetLeaving(), req.GetSlots())
	})
	if err != nil {
		return nil, err
	}
	r.machine.Signal.Arrived()
	return &schedulerv1.SyncResponse{Lost: lost, Pace: paceOf(r.FleetSize(ctx))}, nil
}

// notHeld returns the named leases that are not among those held.
func notHeld(named []*schedulerv1.Lease, held []store.Build) []*schedulerv1.Lease {
	return slices.DeleteFunc(slices.Clone(named), func(l *schedulerv1.Lease) bool {
		return slices.ContainsFunc(held, func(b store.Build) bool { return b.ID == l.GetBuildId() && b.Attempt == l.GetAttempt() })
	})
}

func (r *Registry) dropForgotten(ctx context.Context, tx *store.Tx, named []*schedulerv1.Lease, held []store.Build) error {
	for _, b := range held {
		if slices.ContainsFunc(named, func(l *schedulerv1.Lease) bool { return l.GetBuildId() == b.ID && l.GetAttempt() == b.Attempt }) {
			continue
		}
		fresh, err := tx.Build(ctx, b.ID) // locks it: held was read without
		if err != nil {
			return err
		}
		if !fresh.HeldBy(b.WorkerID, b.Attempt) {
			continue
		}
		if _, err := r.machine.Lose(ctx, tx, fresh, "the worker was restarted"); err != nil {
			return err
		}
	}
	return nil
}

// SetOnline records whether a worker is online, and emits an event if it came online.
func (r *Registry) SetOnline(ctx context.Context, tx *store.Tx, w store.Worker, online bool, slots int32) error {
	at := r.machine.Now()
	if err := tx.SetOnline(ctx, w.ID, online, slots, at); err != nil {
		return err
	}
	if !online || w.Online {
		return nil
	}
	m, err := bus.NewMessage(ctx, transition.Source, bus.WorkerSubject(w.ID, bus.Online), at, &eventsv1.WorkerOnline{
		WorkerId: w.ID, AtMs: at.UnixMilli(),
	})
	if err != nil {
		return err
	}
	return tx.Emit(ctx, m)
}

// Offline takes a worker that missed its heartbeats out of the count of slots, unless it was seen after that. Its leases live on until
// their own heartbeat timeout.
func (r *Registry) Offline(ctx context.Context, workerID string, at time.Time) error {
	return r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, workerID)
		if errors.Is(err, build.ErrWorkerUnknown) || err == nil && w.SeenAt.After(at) {
			return nil
		}
		if err != nil {
			return err
		}
		return r.SetOnline(ctx, tx, w, false, 0)
	})
}

// Seen records that a worker of API v1 asked for work. A poll that changes nothing else writes at most every seenEvery.
func (r *Registry) Seen(ctx context.Context, w store.Worker) error {
	if w.Online && r.machine.Now().Sub(w.SeenAt) < seenEvery {
		return nil
	}
	return r.machine.Store.Update(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Worker(ctx, w.ID)
		if err != nil {
			return err
		}
		return r.SetOnline(ctx, tx, fresh, true, 0)
	})
}
