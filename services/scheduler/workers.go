package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// maxSlots bounds what a worker may claim to do at once.
const maxSlots = 64

// RegisterWorker makes a worker known, or renews what is known of it, and makes the consumers of its lanes.
func (s *Scheduler) RegisterWorker(ctx context.Context, r *schedulerv1.RegisterWorkerRequest) (*schedulerv1.RegisterWorkerResponse, error) {
	w, err := s.newWorker(r)
	if err != nil {
		return nil, err
	}
	if err := s.ensureLanes(ctx, w); err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.PutWorker(ctx, w); err != nil {
			return err
		}
		m, err := bus.NewMessage(ctx, source, bus.WorkerSubject(w.ID, bus.Registered), w.RegisteredAt, &eventsv1.WorkerRegistered{
			WorkerId: w.ID, Name: w.Name, Pool: w.Pool, Platforms: r.GetPlatforms(), Slots: w.Slots, AtMs: w.RegisteredAt.UnixMilli(),
		})
		if err != nil {
			return err
		}
		if err := tx.Emit(ctx, m); err != nil || !w.Polls {
			return err
		}
		return s.setOnline(ctx, tx, w, true, 0) // others are when they connect
	})
	return &schedulerv1.RegisterWorkerResponse{}, err
}

func (s *Scheduler) newWorker(r *schedulerv1.RegisterWorkerRequest) (store.Worker, error) {
	w := store.Worker{
		ID: r.GetWorkerId(), Name: r.GetName(), Pool: r.GetPool(), Slots: max(1, r.GetSlots()), Labels: r.GetLabels(),
		Version: r.GetVersion(), Polls: r.GetPolls(), RegisteredAt: s.now(),
	}
	if w.Pool == "" {
		w.Pool = build.DefaultPool
	}
	for _, p := range r.GetPlatforms() {
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
	}
	return w, nil
}

// Sync is a worker's first word on a connection, and its word every now and then. What it names and does not hold is
// answered, so that it stops. From a process that has just begun, leases that it does not name are lost at once.
func (s *Scheduler) Sync(ctx context.Context, workerID string, r *schedulerv1.SyncRequest) (*schedulerv1.SyncResponse, error) {
	if r.GetSlots() > maxSlots {
		return nil, fmt.Errorf("%w: %d slots, at most %d", build.ErrInvalid, r.GetSlots(), maxSlots)
	}
	var lost []*schedulerv1.Lease
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, workerID)
		if err != nil {
			return err
		}
		held, err := tx.Held(ctx, workerID)
		if err != nil {
			return err
		}
		lost = fencedOff(notHeld(r.GetHolding(), held))
		if r.GetFresh() {
			if err := s.dropForgotten(ctx, tx, r.GetHolding(), held); err != nil {
				return err
			}
		}
		if draining := r.GetDraining() && !r.GetLeaving(); w.Draining != draining {
			if err := tx.SetDraining(ctx, w.ID, draining); err != nil {
				return err
			}
		}
		return s.setOnline(ctx, tx, w, !r.GetLeaving(), r.GetSlots())
	})
	if err != nil {
		return nil, err
	}
	s.returned()
	return &schedulerv1.SyncResponse{Lost: lost, Pace: paceOf(s.fleet.size(ctx, s.store.Connected))}, nil
}

// notHeld returns the named leases that are not among those held.
func notHeld(named []*schedulerv1.Lease, held []store.Build) []*schedulerv1.Lease {
	return slices.DeleteFunc(slices.Clone(named), func(l *schedulerv1.Lease) bool {
		return slices.ContainsFunc(held, func(b store.Build) bool { return b.ID == l.GetBuildId() && b.Attempt == l.GetAttempt() })
	})
}

func (s *Scheduler) dropForgotten(ctx context.Context, tx *store.Tx, named []*schedulerv1.Lease, held []store.Build) error {
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
		if _, err := s.lose(ctx, tx, fresh, "the worker was restarted"); err != nil {
			return err
		}
	}
	return nil
}

// setOnline writes a worker's presence and tells of the change, if it is one, that it is online.
func (s *Scheduler) setOnline(ctx context.Context, tx *store.Tx, w store.Worker, online bool, slots int32) error {
	at := s.now()
	if err := tx.SetOnline(ctx, w.ID, online, slots, at); err != nil {
		return err
	}
	if !online || w.Online {
		return nil
	}
	m, err := bus.NewMessage(ctx, source, bus.WorkerSubject(w.ID, bus.Online), at, &eventsv1.WorkerOnline{
		WorkerId: w.ID, AtMs: at.UnixMilli(),
	})
	if err != nil {
		return err
	}
	return tx.Emit(ctx, m)
}

// workerOffline takes a silent worker out of the count of slots. Its leases live on until their own silence ends them.
func (s *Scheduler) workerOffline(ctx context.Context, workerID string, said time.Time) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		w, err := tx.Worker(ctx, workerID)
		if errors.Is(err, build.ErrWorkerUnknown) || err == nil && w.SeenAt.After(said) {
			return nil // it has spoken since
		}
		if err != nil {
			return err
		}
		return s.setOnline(ctx, tx, w, false, 0)
	})
}
