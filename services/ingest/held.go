package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// heldAge is how long the scheduler's word that a worker holds a build is believed, if nothing is heard of the build.
	heldAge = time.Second
	// maxHeld bounds the memory of such words.
	maxHeld = 20_000
)

// holders remembers which worker holds which build, for samples of telemetry: they come often, each is worth little, and what a
// late one of a lost lease does is nothing, since it names its attempt. What happens to a build ends its memory. The zero value
// is empty; it is safe for concurrent use.
type holders struct {
	mu    sync.Mutex
	known map[string]holding
}

type holding struct {
	build *schedulerv1.Build
	at    time.Time
}

// get gives a copy: handlers write into it.
func (h *holders) get(id, worker string) (*schedulerv1.Build, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k, ok := h.known[id]
	if !ok || k.build.GetWorkerId() != worker || time.Since(k.at) > heldAge {
		return nil, false
	}
	return proto.CloneOf(k.build), true
}

// put remembers a build that its worker has begun: that it begins is news to be told.
func (h *holders) put(b *schedulerv1.Build, asked time.Time) {
	if build.State(b.GetState()) != build.Building {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || len(h.known) >= maxHeld {
		h.known = map[string]holding{}
	}
	h.known[b.GetId()] = holding{proto.CloneOf(b), asked}
}

func (h *holders) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.known, id)
}

// hearBuilds forgets whatever something happens to, until ctx ends.
func (g *Ingest) hearBuilds(ctx context.Context) error {
	sub, err := g.nc.Subscribe(bus.BuildSubjectsOf("*"), func(m *nats.Msg) {
		id, event, err := bus.ParseEvent(m.Subject)
		if err != nil {
			return
		}
		g.holders.forget(id)
		if event == bus.Completed || event == bus.Failed || event == bus.Cancelled {
			g.spendings.forget(ctx, id)
		}
	})
	if err != nil {
		return err //nolint:wrapcheck // names the subject
	}
	<-ctx.Done()
	_ = sub.Unsubscribe() // the connection may be closed already
	return nil
}

// heldLately is held, by a word of the scheduler's that may be a second old.
func (g *Ingest) heldLately(ctx context.Context, id, worker, sayOther string) (*schedulerv1.Build, error) {
	if b, ok := g.holders.get(id, worker); ok {
		g.alive(ctx, b)
		return b, nil
	}
	asked := time.Now()
	b, err := g.held(ctx, id, worker, sayOther)
	if err == nil {
		g.holders.put(b, asked)
	}
	return b, err
}
