package standalone_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// fleet runs n fake workers in this process until stop.
func (s *server) fleet(n int, opts fake.Options) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range n {
		dir := filepath.Join(s.t.TempDir(), fmt.Sprint(i))
		executor, err := fake.New(dir, opts, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		w, err := worker.New(worker.Config{Name: fmt.Sprintf("w%d", i), StateDir: dir, DrainTimeout: 10 * time.Second},
			worker.Deps{Gateway: s.client(), Executor: executor, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			s.t.Fatal(err)
		}
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				s.t.Errorf("worker: %v", err)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	s.t.Cleanup(stop)
	return stop
}

// submitMany submits n builds, 16 at once, and gives their ids.
func (s *server) submitMany(n int) []string {
	s.t.Helper()
	source, ids := project(s.t).Bytes(), make([]string, n)
	next := make(chan int)
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			for i := range next {
				sub, err := s.client().Builds.Submit(s.t.Context(), api.Submit{Platform: "android", Source: bytes.NewReader(source)})
				if err != nil {
					s.t.Errorf("submit: %v", err)
				}
				ids[i] = sub.ID
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	senders.Wait()
	return ids
}

// finals reads the event log: which final events each build has had.
func (s *server) finals(ctx context.Context) (map[string][]bus.Event, error) {
	nc, err := s.Connect()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, err
	}
	cons, err := js.OrderedConsumer(ctx, bus.EventsStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{
		bus.BuildSubjects(bus.Completed), bus.BuildSubjects(bus.Failed), bus.BuildSubjects(bus.Cancelled),
	}})
	if err != nil {
		return nil, err
	}
	pending := cons.CachedInfo().NumPending
	it, err := cons.Messages()
	if err != nil {
		return nil, err
	}
	defer it.Stop()
	found := map[string][]bus.Event{}
	for range pending {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		id, event, err := bus.ParseEvent(m.Subject())
		if err != nil {
			return nil, err
		}
		found[id] = append(found[id], event)
	}
	return found, nil
}

// TestFiftyWorkersFiveHundredBuilds: each build completes exactly once by the event log, and nothing is left behind.
func TestFiftyWorkersFiveHundredBuilds(t *testing.T) {
	const workers, builds = 50, 500
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	s := start(t, config(t))
	stop := s.fleet(workers, fake.Options{})
	began := time.Now()
	ids := s.submitMany(builds)
	var found map[string][]bus.Event
	eventually(t, "every build ends", func() (bool, error) {
		var err error
		found, err = s.finals(t.Context())
		return len(found) >= builds, err
	})
	t.Logf("%d builds by %d workers in %s", builds, workers, time.Since(began).Round(time.Millisecond))
	for _, id := range ids {
		if !slices.Equal(found[id], []bus.Event{bus.Completed}) {
			t.Errorf("build %s has ended %v, want completed once", id, found[id])
		}
	}
	stop()
	s.stop()
	eventually(t, "goroutines and files are gone", func() (bool, error) {
		// Two goroutines of the S3 endpoint's HTTP library outlive it by that library's design, and so may an idle
		// connection of Go's default transport.
		return runtime.NumGoroutine() <= goroutines+6 && openFiles(t) <= files+4, nil
	})
	if t.Failed() {
		t.Logf("%d goroutines, were %d; %d files, were %d", runtime.NumGoroutine(), goroutines, openFiles(t), files)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not Linux: the goroutines still tell
	}
	return len(entries)
}

func eventually(t *testing.T, what string, ok func() (bool, error)) {
	t.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			buf := make([]byte, 1<<20)
			t.Fatalf("%s: not within two minutes\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}
