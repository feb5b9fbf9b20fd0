package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/e2e/idle"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// Plan of a run.
type Plan struct {
	// Cluster is what is broken.
	Cluster cluster.Config
	// Builds are submitted over the time For, by so many Clients at once.
	Builds, Clients int
	For             time.Duration
	// Faults is how many are made at most; they end with For. Script has them be these, over and over; empty: drawn from the seed.
	Faults int
	Script []Strike
	// Cancelled is the share of builds that are cancelled by their client.
	Cancelled float64
	// Seed draws faults and builds. The same seed makes the same faults, but not the same run: time is not ours.
	Seed uint64
	// Settle is how long builds may take to end after the last fault.
	Settle time.Duration
	Log    *slog.Logger
}

// DefaultPlan breaks a cluster for two minutes while it builds a hundred builds. Leases are short enough for faults to outlast them.
// Cluster.Dir and Cluster.Bin are still to be set.
func DefaultPlan() Plan {
	return Plan{
		Cluster: cluster.Config{
			Replicas: 2, Workers: 4, Slots: 2, Fake: "slow=1s,lines=10,size=1KiB..20MiB", Isolate: cluster.CanIsolate(), TLS: true,
			Services: []string{
				"FREEAGENT_HEARTBEAT_TIMEOUTS=prepare=6s,install=6s,export=6s,upload=6s", "FREEAGENT_HEARTBEAT_GRACE_PERIOD=1s", "FREEAGENT_WORKER_TIMEOUT=8s",
				// Soon enough for a worker that comes back to find another at its build.
				"FREEAGENT_RETRY_BACKOFF=1s", "FREEAGENT_DRAIN_DELAY=1s",
				// The far end of the webhook is here; what is not answered is sent again within the settling time.
				"FREEAGENT_WEBHOOK_NETWORKS=127.0.0.0/8,10.77.0.0/16", "FREEAGENT_WEBHOOK_BACKOFF=1s", "FREEAGENT_WEBHOOK_MAX_BACKOFF=5s",
				"FREEAGENT_WEBHOOK_TIMEOUT=5s",
			},
		},
		Builds: 100, Clients: 4, For: 2 * time.Minute, Faults: 1000, Cancelled: 0.1, Settle: 3 * time.Minute,
		Log: slog.New(slog.DiscardHandler),
	}
}

// Report is what came of a run.
type Report struct {
	Seed         uint64        `json:"seed"`
	Took         time.Duration `json:"took_ns"`
	Submits      int           `json:"submits"`
	Acknowledged int           `json:"acknowledged"`
	Builds       int           `json:"builds"`
	Attempts     int           `json:"attempts"`
	// Ends counts builds by their final state.
	Ends   map[string]int `json:"ends"`
	Faults []Fault        `json:"faults"`
	// Recovery is the longest that a build whose attempt was lost waited for another worker, by the event log.
	Recovery time.Duration `json:"longest_recovery_ns"`
	// SubmitsPerSecond are those acknowledged, from the first to the last; BuildsPerSecond those ended, from the first submit on.
	SubmitsPerSecond float64 `json:"submits_per_second"`
	BuildsPerSecond  float64 `json:"builds_per_second"`
	// EndedByThemselves are processes that a supervisor had to start again.
	EndedByThemselves []string    `json:"ended_by_themselves,omitempty"`
	Violations        []Violation `json:"violations"`
	Calls             []Call      `json:"calls"`
}

// Run starts a cluster, breaks it while clients use it, and checks it. The error is that of the run itself; what the system did
// wrong is in the report.
func Run(ctx context.Context, plan Plan) (r Report, err error) {
	began := time.Now()
	c, err := cluster.Start(ctx, plan.Cluster)
	if err != nil {
		return r, err
	}
	// The nemesis leaves processes that were restarted in a hurry: their exit codes at the end say nothing.
	defer func() {
		if serr := c.Stop(); serr != nil {
			plan.Log.WarnContext(ctx, "stop of the cluster", "err", serr)
		}
	}()
	clients, err := clientConfig(c)
	if err != nil {
		return r, err
	}
	client, err := api.New(clients)
	if err != nil {
		return r, err
	}
	far, deaf, err := plan.hear(ctx, c, client)
	if err != nil {
		return r, err
	}
	defer deaf()
	plan.Log.InfoContext(ctx, "the cluster runs", "processes", len(c.Processes()), "took", time.Since(began).Round(time.Millisecond))
	h := &history{}
	n := &nemesis{cluster: c, cuts: plan.Cluster.Isolate, script: plan.Script, rng: rand.New(rand.NewPCG(plan.Seed, 0)), log: plan.Log}
	p := &probe{client: client}
	if r.EndedByThemselves, err = plan.storm(ctx, c, clients, h, n, p); err != nil {
		return r, err
	}
	plan.Log.InfoContext(ctx, "quiet again", "faults", len(n.faults), "acknowledged", h.acknowledged())
	e, err := plan.aftermath(ctx, c, client, far, h, n, p)
	if err != nil {
		return r, err
	}
	r.Violations = Check(e)
	r.Seed, r.Took, r.Faults = plan.Seed, time.Since(began), n.faults
	r.count(e)
	return r, nil
}

// hear registers a webhook whose far end is here, until deaf is called.
func (plan Plan) hear(ctx context.Context, c *cluster.Cluster, client *api.Client) (far *hook, deaf func(), err error) {
	if far, err = listenForHooks(ctx, c.HostAddress()); err != nil {
		return nil, nil, err
	}
	hearing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := far.run(hearing, plan.Log); err != nil {
			plan.Log.ErrorContext(ctx, "webhook receiver ended", "err", err)
		}
	}()
	deaf = func() { stop(); <-done }
	if err := far.register(ctx, client); err != nil {
		deaf()
		return nil, nil, err
	}
	return far, deaf, nil
}

// aftermath waits until builds have ended, tries the order of a farm at rest, and gathers the evidence.
func (plan Plan) aftermath(
	ctx context.Context, c *cluster.Cluster, client *api.Client, far *hook, h *history, n *nemesis, p *probe,
) (e Evidence, err error) {
	quiet, end := context.WithTimeout(ctx, plan.Settle)
	defer end()
	if err := c.Ready(quiet); err != nil {
		return e, err
	}
	var watch idle.Watch
	if left := settle(quiet, client, &watch); left > 0 {
		plan.Log.ErrorContext(ctx, "builds have not ended", "builds", left)
	}
	p.blame(n.faults, h.all())
	probing, over := context.WithTimeout(ctx, probeTime)
	defer over()
	starts, err := orderProbe(probing, client, h, n.rng)
	if err != nil {
		return e, fmt.Errorf("order probe: %w", err)
	}
	if e, err = gather(ctx, c, client, h.all()); err != nil {
		return e, err
	}
	e.Starts, e.Stuck = starts, watch.Stuck()
	err = plan.gatherFarm(ctx, c, client, far, &e)
	return e, err
}

// gatherFarm reads what concerns more than one build. Events need a moment to be counted and sent.
func (plan Plan) gatherFarm(ctx context.Context, c *cluster.Cluster, client *api.Client, far *hook, e *Evidence) (err error) {
	e.Delivered = far.delivered(ctx, len(e.Builds))
	if e.Leftovers, err = leftovers(ctx, c); err != nil {
		return err
	}
	stats, err := client.Stats(ctx, api.StatsOptions{})
	if err != nil {
		return fmt.Errorf("read the figures: %w", err)
	}
	e.Figures = stats.Total
	return nil
}

// clientConfig is that of all clients of a cluster.
func clientConfig(c *cluster.Cluster) (api.Config, error) {
	transport, err := tlsfiles.HTTP(c.CAFile())
	return api.Config{BaseURL: c.URL(), Key: c.Key(), Transport: transport, StallTimeout: 10 * time.Second, RetryFor: patience}, err
}

// storm has clients work and the nemesis strike, until both have done what they should.
func (plan Plan) storm(ctx context.Context, c *cluster.Cluster, clients api.Config, h *history, n *nemesis, p *probe) (ended []string, err error) {
	w := &workload{
		api: clients, history: h, builds: plan.Builds, clients: plan.Clients, over: plan.For, cancelled: plan.Cancelled, seed: plan.Seed,
	}
	weather, calm := context.WithTimeout(ctx, plan.For)
	defer calm()
	var background, work sync.WaitGroup
	watching, stop := context.WithCancel(ctx)
	background.Go(func() { p.run(watching) })
	background.Go(func() { ended = supervise(watching, c, n.holds, plan.Log) })
	var err1, err2 error
	work.Go(func() { err1 = w.run(ctx) })
	work.Go(func() { err2 = n.run(weather, plan.Faults) })
	work.Wait()
	stop()
	background.Wait()
	return ended, errors.Join(err1, err2)
}

func (r *Report) count(e Evidence) {
	r.Calls, r.Builds, r.Ends = e.Calls, len(e.Builds), map[string]int{}
	var first, lastSubmit, lastEnd time.Time
	for _, call := range e.Calls {
		if call.Kind != submit {
			continue
		}
		r.Submits++
		if first.IsZero() || call.Begin.Before(first) {
			first = call.Begin
		}
		if call.Acknowledged {
			r.Acknowledged++
			lastSubmit = later(lastSubmit, call.End)
		}
	}
	for _, b := range e.Builds {
		r.Ends[b.Status]++
		r.Attempts += len(b.Attempts)
		r.Recovery = max(r.Recovery, b.recovery())
		for _, e := range b.Events {
			if e.final() {
				lastEnd = later(lastEnd, e.At)
			}
		}
	}
	if r.Acknowledged > 0 && lastEnd.After(first) {
		r.SubmitsPerSecond = float64(r.Acknowledged) / lastSubmit.Sub(first).Seconds()
		r.BuildsPerSecond = float64(r.Builds) / lastEnd.Sub(first).Seconds()
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
