package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// maxAuthored bounds the builds whose attempts are remembered.
	maxAuthored = 4096
	// refusedFor is how long a worker that wrote into an attempt that it does not hold is not asked about again, for attempts
	// that nobody is known to hold: else each of its lines would cost a question.
	refusedFor = time.Second
	maxRefused = 1000
)

// Authors knows which worker held which attempt, and so whose lines belong into a log: the control plane's, and of each attempt
// those of the worker that held it. The bus lets a worker write under its own name only, but about any build.
//
// An attempt has one holder for ever, the next one gets another number. So the scheduler is asked once for each. It is safe for
// concurrent use.
type Authors struct {
	ask func(ctx context.Context, buildID string) (*schedulerv1.GetResponse, error)

	mu    sync.Mutex
	known map[string]*attempts
}

// attempts are those of one build.
type attempts struct {
	// unknown: the scheduler has no such build, and nothing can be said against anybody.
	unknown bool
	holder  map[int32]string
	last    int32
	refused map[string]time.Time
}

// NewAuthors asks the scheduler for a build and its attempts, with ask.
func NewAuthors(ask func(ctx context.Context, buildID string) (*schedulerv1.GetResponse, error)) *Authors {
	return &Authors{ask: ask, known: map[string]*attempts{}}
}

// Wrote says whether lines of a writer for an attempt belong into the build's log. If the scheduler does not answer, nobody knows.
func (a *Authors) Wrote(ctx context.Context, buildID, writer string, attempt int32) (bool, error) {
	if writer == bus.System {
		return true, nil
	}
	if wrote, known := a.look(buildID, writer, attempt); known {
		return wrote, nil
	}
	resp, err := a.ask(ctx, buildID)
	if err != nil && !errors.Is(err, build.ErrNotFound) {
		return false, fmt.Errorf("ask who held the attempts of %s: %w", buildID, err)
	}
	return a.learn(buildID, resp, writer, attempt), nil
}

func (a *Authors) look(buildID, writer string, attempt int32) (wrote, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := a.known[buildID]
	if of == nil {
		return false, false
	}
	if holder, ok := of.holder[attempt]; ok || of.unknown {
		return of.unknown || holder == writer, true
	}
	// Who holds an attempt speaks after the claim was written down; a past one that nobody held stays so.
	return false, attempt < of.last || time.Since(of.refused[writer]) < refusedFor
}

func (a *Authors) learn(buildID string, resp *schedulerv1.GetResponse, writer string, attempt int32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := a.known[buildID]
	if of == nil {
		if len(a.known) >= maxAuthored { // forgetting costs a question each
			clear(a.known)
		}
		of = &attempts{holder: map[int32]string{}, refused: map[string]time.Time{}}
		a.known[buildID] = of
	}
	of.unknown = resp == nil
	for _, one := range resp.GetAttempts() {
		of.holder[one.GetNumber()] = one.GetWorkerId()
		of.last = max(of.last, one.GetNumber())
	}
	if of.unknown || of.holder[attempt] == writer {
		return true
	}
	if len(of.refused) >= maxRefused {
		clear(of.refused)
	}
	of.refused[writer] = time.Now()
	return false
}
