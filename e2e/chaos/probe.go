package chaos

import (
	"context"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// probe asks for the list of builds again and again: gateway, bus, scheduler and database have to be there for an answer.
type probe struct {
	client *api.Client

	mu sync.Mutex
	// down are the times without an answer.
	down []span
}

type span struct{ from, to time.Time }

const (
	probeEvery   = 100 * time.Millisecond
	probeTimeout = 2 * time.Second
)

func (p *probe) run(ctx context.Context) {
	var since time.Time
	for ctx.Err() == nil {
		began := time.Now()
		try, end := context.WithTimeout(ctx, probeTimeout)
		_, err := p.client.Builds.List(try, api.ListOptions{Limit: 1})
		end()
		switch {
		case err != nil && since.IsZero():
			since = began
		case err == nil && !since.IsZero():
			p.mu.Lock()
			p.down = append(p.down, span{since, time.Now()})
			p.mu.Unlock()
			since = time.Time{}
		}
		sleep(ctx, probeEvery)
	}
}

// blame gives each fault the longest outage that began while it lasted, or just after, and the longest submit that fell into it.
func (p *probe) blame(faults []Fault, calls []Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range faults {
		f := &faults[i]
		for _, s := range p.down {
			if s.from.After(f.Begin.Add(-probeEvery)) && s.from.Before(f.Begin.Add(f.For+probeTimeout)) {
				f.Unanswered = max(f.Unanswered, s.to.Sub(s.from))
			}
		}
		for _, c := range calls {
			if c.Kind == submit && c.End.After(f.Begin) && c.Begin.Before(f.Begin.Add(f.For)) {
				f.Submit = max(f.Submit, c.End.Sub(c.Begin))
			}
		}
	}
}
