package standalone_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// BenchmarkDetection is how late a worker's death is known: real worker processes are killed with SIGKILL in a stage that may be silent for
// 3 s, and the delay is that from the last heartbeat, as it passed the bus, plus those 3 s, to the event that says so, and
// to that which gives the build to the next attempt. An iteration is one death.
func BenchmarkDetection(b *testing.B) {
	const ttl = 3 * time.Second
	cfg := config(b)
	ttls := build.DefaultTTLs()
	for stage := range ttls {
		ttls[stage] = ttl
	}
	cfg.Scheduler.StageTTLs, cfg.Monitor.StageTTLs = ttls, ttls
	s := start(b, cfg)
	w := s.watchDeaths(b)
	var stalled, retried []float64
	for b.Loop() {
		d := w.death(b, s)
		due := d.beat.Add(ttl)
		stalled = append(stalled, d.stalled.Sub(due).Seconds()*1000)
		retried = append(retried, d.retried.Sub(due).Seconds()*1000)
	}
	for name, took := range map[string][]float64{"stalled": stalled, "next-attempt": retried} {
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2], name+"-p50-ms")
		b.ReportMetric(took[len(took)-1], name+"-max-ms")
	}
}

// death is when a worker's last beat and what followed passed the bus.
type death struct{ beat, stalled, retried time.Time }

// deaths hears the bus as a service does.
type deaths struct {
	beats, events chan *nats.Msg
}

func (s *server) watchDeaths(b *testing.B) *deaths {
	b.Helper()
	nc, err := s.Connect()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	w := &deaths{beats: make(chan *nats.Msg, 10_000), events: make(chan *nats.Msg, 10_000)}
	for subject, c := range map[string]chan *nats.Msg{
		bus.KeySubject("build.>"): w.beats, bus.BuildSubjects(bus.Stalled): w.events, bus.BuildSubjects(bus.Retried): w.events,
	} {
		if _, err := nc.ChanSubscribe(subject, c); err != nil {
			b.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		b.Fatal(err)
	}
	return w
}

// death has a worker begin a build, beat in a stage of it, and die.
func (w *deaths) death(b *testing.B, s *server) (d death) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	p := run(b, []string{"FREEAGENT_API_KEY=" + s.Key()}, "worker", "--server", s.URL(), "--name", "doomed",
		"--state-dir", filepath.Join(b.TempDir(), "doomed"), "--executor", "fake", "--fake", "hang,stage=install")
	sub, err := s.client().Builds.Submit(ctx, api.Submit{Platform: "android", Source: project(b)})
	if err != nil {
		b.Fatal(err)
	}
	killed := false
	for d.retried.IsZero() {
		select {
		case <-ctx.Done():
			b.Fatalf("build %s: %+v within a minute; the worker said:\n%s", sub.ID, d, p.out.String())
		case m := <-w.beats:
			var beat eventsv1.Heartbeat
			// Markers of expired keys come on the same subjects, without a body.
			if err := proto.Unmarshal(m.Data, &beat); err != nil || beat.GetBuildId() != sub.ID {
				continue
			}
			d.beat = time.UnixMilli(beat.GetAtMs())
			// At the second beat of a stage it is under way. The last beat may be on its way when the worker dies.
			if !killed && beat.GetStage() == "install" && beat.GetSilenceMs() > 0 {
				p.kill()
				killed = true
			}
		case m := <-w.events:
			id, event, err := bus.ParseEvent(m.Subject)
			if err != nil || id != sub.ID {
				continue
			}
			switch event {
			case bus.Stalled:
				d.stalled = time.Now()
			case bus.Retried:
				d.retried = time.Now()
			}
		}
	}
	if !killed || d.stalled.IsZero() {
		b.Fatalf("build %s: lost before its worker was killed: %+v", sub.ID, d)
	}
	if _, err := s.client().Builds.Cancel(ctx, sub.ID); err != nil { // not for the next one to die of
		b.Error(err)
	}
	return d
}
