package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/admission"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/faults"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/registry"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/rules"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
	"github.com/expo-free-agent/freeagent/services/scheduler/internal/transition"
)

// Deps are the rooms that a Dispatcher works with.
type Deps struct {
	Machine  *transition.Machine
	Rules    *rules.Rules
	Registry *registry.Registry
	Faults   *faults.Counter
	Waiting  *admission.Counter
	Monitor  monitorv1.MonitorServiceClient
	Conn     *nats.Conn
}

// Dispatcher releases builds and assigns them to workers that poll. Make it with New; it is safe for concurrent use.
type Dispatcher struct {
	machine   *transition.Machine
	rules     *rules.Rules
	registry  *registry.Registry
	faults    *faults.Counter
	waiting   *admission.Counter
	monitor   monitorv1.MonitorServiceClient
	nc        *nats.Conn
	polls     *pollCache
	estimates *estimates
	forecasts forecasts
	offers    *offers
}

// New returns a dispatcher; Run and RunWake start it.
func New(deps Deps) (*Dispatcher, error) {
	d := &Dispatcher{
		machine: deps.Machine, rules: deps.Rules, registry: deps.Registry, faults: deps.Faults, waiting: deps.Waiting,
		monitor: deps.Monitor, nc: deps.Conn,
	}
	var err error
	if d.polls, err = newPollCache(deps.Machine.Signal); err != nil {
		return nil, err
	}
	if d.offers, err = newOffers(deps.Machine, deps.Conn); err != nil {
		return nil, err
	}
	d.estimates, err = newEstimates(d)
	return d, err
}

// joining is how long a worker that has registered counts as one that is about to connect.
const joining = 30 * time.Second

// HasWorker reports whether any worker that is connected, or about to be, can build the lane's builds.
func (d *Dispatcher) HasWorker(ctx context.Context, l store.Lane) (bool, error) {
	groups, err := d.machine.Store.Groups(ctx, d.machine.Now().Add(-joining), l)
	return slices.ContainsFunc(groups, func(g store.Group) bool { return g.Can(l) }), err
}

// NoWorker says that no worker can build b, which requires no labels.
func NoWorker(b store.Build) string {
	return fmt.Sprintf("No connected worker can build %s in pool %s. The build waits for one; start it with `freeagent worker`.",
		b.Platform, b.Pool)
}
