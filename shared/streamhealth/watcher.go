package streamhealth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

const (
	// defaultEvery is the time between two rounds.
	defaultEvery = 5 * time.Second
	// roundsBad is how many rounds in a row a fault lasts until it is a problem: elections take two to five seconds.
	roundsBad = 3
	// silentAfter is when a replica that is not current counts as one that does not store; one that catches up is heard.
	silentAfter = 10 * time.Second
	// probeRounds is the number of rounds between two looks at the servers, which log a broken handshake each time.
	probeRounds = 6
)

// Config of a Watcher. Conn and JS are required.
type Config struct {
	Conn *nats.Conn
	JS   jetstream.JetStream
	// Every is the time between two rounds; 0: 5 s.
	Every time.Duration
	// Log gets one line when a problem begins, one when it grows and one when it is over; nil: none.
	Log *slog.Logger
}

// Watcher watches the streams of bus.NewTopology. Make it with New and Run it; its methods are safe for
// concurrent use.
type Watcher struct {
	cfg     Config
	streams []string

	mu      sync.Mutex
	faults  map[string]*fault // by stream
	silent  map[string]*silence
	failing map[string]error  // streams whose last publish failed
	probed  map[string]string // servers that do not store, with the cause; nil: not looked at
	rounds  int               // since the servers were looked at
	// names are those of the servers, by address, as far as they are known.
	names  map[string]string
	report report
}

// fault is what is wrong with a stream, for how many rounds.
type fault struct {
	rounds int
	why    string
	// leader stores the stream, or should; led is for how many rounds it leads and does not. A new leader is not to blame for
	// the publishes that failed before.
	leader string
	led    int
}

// silence is a node that does not store some streams.
type silence struct {
	rounds  int
	streams []string
}

// New returns a watcher. It sends nothing.
func New(cfg Config) *Watcher {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{cfg: cfg, names: map[string]string{}, faults: map[string]*fault{}, silent: map[string]*silence{}, failing: map[string]error{}}
	t := bus.NewTopology(1)
	for _, s := range t.Streams {
		w.streams = append(w.streams, s.Name)
	}
	w.streams = append(w.streams, bus.HeartbeatStream)
	return w
}

// Run asks until ctx ends and returns nil then.
func (w *Watcher) Run(ctx context.Context) error {
	w.learn(ctx)
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if w.cfg.Conn.IsConnected() { // else nothing is known, and requests fail anyway
			w.round(ctx)
		}
	}
}

// learn asks the servers for their names, since those that do not answer later cannot be asked.
func (w *Watcher) learn(ctx context.Context) {
	names := map[string]string{}
	for _, s := range probe(ctx, w.cfg.Conn) {
		if s.name != "" {
			names[s.address] = s.name
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names = names
}

// suspects are the servers that do not store, with the cause. It is called with mu held.
func (w *Watcher) suspects(all []server) map[string]string {
	found := map[string]string{}
	for _, s := range all {
		if s.name != "" {
			w.names[s.address] = s.name
		}
		if s.cause != "" {
			found[cmp.Or(s.name, w.names[s.address], s.address)] = s.cause
		}
	}
	return found
}

// Published tells the watcher how a publish went; err is nil or what the publish returned.
func (w *Watcher) Published(subject string, err error) {
	if errors.Is(err, context.Canceled) || err != nil && strings.Contains(err.Error(), "maximum messages") {
		return // we stop; or the stream has its limit, which no restart changes
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	stream := bus.StreamOf(subject)
	if err == nil {
		delete(w.failing, stream)
		return
	}
	w.failing[stream] = err
}

// Err returns an error that wraps build.ErrUnavailable while a stream that builds need cannot store.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	needed := []string{bus.EventsStream, bus.QueueStream, bus.LogsStream}
	if !slices.ContainsFunc(w.report.blocked, func(s string) bool { return slices.Contains(needed, s) }) {
		return nil
	}
	return fmt.Errorf("%w: the bus cannot store (%s)", build.ErrUnavailable, strings.Join(w.report.blocked, ", "))
}

// Problems returns sentences for operators; none if all is well.
func (w *Watcher) Problems() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report.sentences()
}

// answer is what one stream said in a round.
type answer struct {
	stream, leader, why string
	silent              []string
	// unsure are the nodes that the leader has not heard from yet, since it was elected a moment ago.
	unsure []string
}

func (w *Watcher) round(ctx context.Context) {
	answers := make([]answer, len(w.streams))
	var all sync.WaitGroup
	for i, stream := range w.streams {
		all.Go(func() { answers[i] = w.ask(ctx, stream) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	for _, a := range answers {
		w.noteStream(a)
	}
	w.noteNodes(answers)
	w.rounds++
	now := w.judge()
	suspicious := now.bad()
	due := w.probed == nil || w.rounds >= probeRounds || len(now.blocked) > 0 && len(w.report.blocked) == 0
	w.mu.Unlock()

	var probed []server
	if suspicious && due {
		probed = probe(ctx, w.cfg.Conn)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !suspicious:
		w.probed = nil
	case due:
		w.probed, w.rounds = w.suspects(probed), 0
	}
	before := w.report
	w.report = w.judge()
	w.report.logged = before.logged
	w.report.log(ctx, w.cfg.Log)
}

// ask returns what a stream says of itself. A stream that was not made yet says nothing.
func (w *Watcher) ask(ctx context.Context, stream string) answer {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Every)
	defer cancel()
	a := answer{stream: stream}
	s, err := w.cfg.JS.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return a
	}
	if err != nil {
		a.why = "no answer: " + err.Error()
		return a
	}
	c := s.CachedInfo().Cluster
	if c == nil {
		a.leader = w.cfg.Conn.ConnectedServerName()
		return a
	}
	if a.leader = c.Leader; a.leader == "" {
		a.why = "no leader"
		return a
	}
	for _, r := range c.Replicas {
		switch {
		case r.Offline || !r.Current && r.Active > silentAfter:
			a.silent = append(a.silent, r.Name)
		case !r.Current:
			a.unsure = append(a.unsure, r.Name)
		}
	}
	return a
}

// noteStream is called with mu held.
func (w *Watcher) noteStream(a answer) {
	if err := w.failing[a.stream]; err != nil && a.why == "" {
		a.why = err.Error()
	}
	if a.why == "" {
		delete(w.faults, a.stream)
		return
	}
	f := w.faults[a.stream]
	if f == nil {
		f = &fault{}
		w.faults[a.stream] = f
	}
	if a.leader != f.leader {
		f.led = 0
	}
	f.rounds++
	f.led++
	f.why, f.leader = a.why, a.leader
}

// noteNodes is called with mu held. What was known of a node stays while a stream has no leader, or one that has not heard of the node
// yet.
func (w *Watcher) noteNodes(answers []answer) {
	now := map[string]*silence{}
	note := func(node, stream string, rounds int) {
		if now[node] == nil {
			now[node] = &silence{}
		}
		now[node].streams = append(now[node].streams, stream)
		now[node].rounds = max(now[node].rounds, rounds)
	}
	for _, a := range answers {
		for _, node := range a.silent {
			rounds := 1
			if before := w.silent[node]; before != nil {
				rounds += before.rounds
			}
			note(node, a.stream, rounds)
		}
		for node, before := range w.silent {
			if slices.Contains(before.streams, a.stream) && (a.leader == "" || slices.Contains(a.unsure, node)) {
				note(node, a.stream, before.rounds)
			}
		}
	}
	w.silent = now
}

// judge makes a report of what is known. It is called with mu held.
func (w *Watcher) judge() report {
	var r report
	nodes := map[string]string{}
	for _, stream := range w.streams {
		f := w.faults[stream]
		if f == nil || f.rounds < roundsBad {
			continue
		}
		r.blocked = append(r.blocked, stream)
		r.why = f.why
		if f.leader != "" && f.led >= roundsBad {
			nodes[f.leader] = causeWrites
		}
	}
	if len(r.blocked) > 0 { // those that will be a problem in a moment are part of this one
		r.blocked = slices.DeleteFunc(slices.Clone(w.streams), func(s string) bool { return w.faults[s] == nil })
	}
	for node, s := range w.silent {
		if s.rounds >= roundsBad || len(r.blocked) > 0 {
			nodes[node] = causeSilent
			r.degraded = append(r.degraded, s.streams...)
		}
	}
	if len(nodes) > 0 || len(r.blocked) > 0 {
		maps.Copy(nodes, w.probed)
	}
	slices.Sort(r.degraded)
	r.degraded = slices.Compact(r.degraded)
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		r.nodes = append(r.nodes, node{name, nodes[name]})
	}
	return r
}
