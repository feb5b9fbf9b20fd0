package worker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func app(t *testing.T) []byte { return project(t, "package.json", "{}") }

func cancelOrder(id string) *eventsv1.Control {
	return &eventsv1.Control{Order: &eventsv1.Control_Cancel{Cancel: &eventsv1.CancelBuild{BuildId: id, Attempt: 1, Reason: "asked"}}}
}

func TestABuildFromHandOutToResult(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.fake("lines=250,size=200KiB"), nil)
	id := f.submit(app(t))
	got := f.finished(id)
	if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED || got.GetError() != "" {
		t.Fatalf("finish = %v, want completed", got)
	}
	b := f.await(id, "there", func(*farmBuild) bool { return true })
	if diff := cmp.Diff([]string{"prepare", "install", "export", "upload"}, b.stages); diff != "" {
		t.Errorf("stages: %s", diff)
	}
	if b.claims != 1 {
		t.Errorf("%d claims, want 1", b.claims)
	}
	f.mu.Lock()
	data := f.objects[got.GetResultObjectId()]
	f.mu.Unlock()
	if !strings.HasSuffix(got.GetResultObjectId(), ".fake-android.tar.gz") || !strings.HasPrefix(bundle(t, data), fake.HermesMagic) {
		t.Errorf("the result %s holds no Hermes bundle", got.GetResultObjectId())
	}
	log := f.logOf(id)
	for _, want := range []string{"▸ install: fake install", "fake export: step 250 of 250", "✓ export in ", "SHA-256"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	f.eventually("the queue is empty", func() bool { return f.queued() == 0 })
}

// bundle returns the only .hbc of a tar.gz.
func bundle(t *testing.T, data []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	must(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		must(t, err)
		if strings.HasSuffix(h.Name, ".hbc") {
			content, err := io.ReadAll(r)
			must(t, err)
			return string(content)
		}
	}
}

func TestHeartbeatsCarryTheTTLOfTheStage(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	a := f.start(f.fake("hang,stage=install"), nil)
	id := f.submit(app(t))
	f.inStage(id, "install")
	holder := f.await(id, "held", func(b *farmBuild) bool { return b.holder != "" }).holder
	s, err := f.js.Stream(t.Context(), bus.HeartbeatStream)
	must(t, err)
	for key, want := range map[string]string{bus.LeaseKey(holder, id, 1): "8s", bus.WorkerKey(holder): "15s"} {
		f.eventually(key, func() bool {
			m, err := s.GetLastMsgForSubject(t.Context(), bus.KeySubject(key))
			return err == nil && m.Header.Get("Nats-TTL") == want
		})
	}
	// It beats four times within the TTL.
	first, err := s.GetLastMsgForSubject(t.Context(), bus.KeySubject(bus.LeaseKey(holder, id, 1)))
	must(t, err)
	f.eventually("the next beat", func() bool {
		m, err := s.GetLastMsgForSubject(t.Context(), bus.KeySubject(bus.LeaseKey(holder, id, 1)))
		return err == nil && m.Sequence > first.Sequence
	})
	a.Release()
}

func TestAnIdleWorkerIsQuick(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.fake(""), nil)
	f.finished(f.submit(app(t)))
	var took []time.Duration
	for range 50 {
		begin := time.Now()
		id := f.submit(app(t))
		took = append(took, f.await(id, "claimed", func(b *farmBuild) bool { return b.holder != "" }).claimed.Sub(begin))
		f.finished(id)
	}
	slices.Sort(took)
	t.Logf("hand-out to claim: p50 %s, p90 %s, max %s", took[25], took[45], took[49])
	if took[25] > 100*time.Millisecond { // on a busy machine; idle it is near 1 ms
		t.Errorf("p50 is %s", took[25])
	}
}

func TestOneSlotOneBuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.fake("slow=200ms"), nil)
	a, b := f.submit(app(t)), f.submit(app(t))
	for _, id := range []string{a, b} {
		if got := f.finished(id); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
			t.Errorf("finish = %v, want completed", got)
		}
	}
}

// After an outage the sync says what is not ours any more.
func TestDrain(t *testing.T) {
	t.Parallel()
	completed, back := schedulerv1.FinishRequest_OUTCOME_COMPLETED, schedulerv1.FinishRequest_OUTCOME_HANDED_BACK
	for name, tt := range map[string]struct {
		knobs   string
		timeout time.Duration
		end     func(*farm, *agent, string)
		want    schedulerv1.FinishRequest_Outcome
	}{
		"finishes what runs": {"slow=500ms", time.Minute, func(_ *farm, a *agent, _ string) { a.stop() }, completed},
		"ordered":            {"slow=500ms", time.Minute, func(f *farm, _ *agent, h string) { f.control(h, &eventsv1.Control{Order: &eventsv1.Control_Drain{}}) }, completed},
		"hands back in time": {"hang,stage=install", 100 * time.Millisecond, func(_ *farm, a *agent, _ string) { a.stop() }, back},
		"hands back at once": {"hang,stage=install", time.Hour, func(_ *farm, a *agent, _ string) { a.stop(); a.Release() }, back},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t)
			a := f.start(f.fake(tt.knobs), func(c *worker.Config) { c.DrainTimeout = tt.timeout; c.Slots = 2 })
			id := f.submit(app(t))
			f.inStage(id, "install")
			tt.end(f, a, f.await(id, "held", func(b *farmBuild) bool { return b.holder != "" }).holder)
			if got := f.finished(id).GetOutcome(); got != tt.want {
				t.Errorf("outcome = %v, want %v", got, tt.want)
			}
			select {
			case err := <-a.ended:
				must(t, err)
			case <-time.After(quickly):
				t.Fatal("Run does not return")
			}
			// Nobody is there: a new hand-out waits for another worker.
			next := f.submit(app(t))
			other := f.start(f.fake(""), nil)
			f.finished(next)
			other.stop()
		})
	}
}

func TestIdentityIsKept(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	dir := t.TempDir()
	same := func(c *worker.Config) { c.StateDir = dir }
	for range 2 {
		a := f.start(f.fake(""), same)
		f.finished(f.submit(app(t)))
		a.stop()
		must(t, <-a.ended)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.workers) != 1 {
		t.Errorf("%d workers joined, want 1", len(f.workers))
	}
	info, err := os.Stat(filepath.Join(dir, "identity.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("identity.json: %v, %v, want 0600", info.Mode(), err)
	}
}

func TestJoiningWaitsForTheServer(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	var n atomic.Int32
	f.onHTTP = func(w http.ResponseWriter, r *http.Request) bool {
		if n.Add(1) <= 2 {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	}
	f.start(f.fake(""), nil)
	f.finished(f.submit(app(t)))
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := worker.Config{Pool: "a.b", Platforms: []build.Platform{"web"}, Slots: 65, StateDir: "x", DrainTimeout: -1}.Validate()
	for _, want := range []string{"name", "pool", "web", "got 65", "state directory", "negative"} {
		if err == nil || !errors.Is(err, worker.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q in it", err, want)
		}
	}
}

// Twenty workers in one process do forty builds and leave nothing (TestMain looks for goroutines).
func TestManyWorkersInOneProcess(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	for range 20 {
		f.start(f.fake(""), nil)
	}
	var ids []string
	for range 40 {
		ids = append(ids, f.submit(app(t)))
	}
	for _, id := range ids {
		if got := f.finished(id); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
			t.Errorf("finish = %v, want completed", got)
		}
		if b := f.await(id, "there", func(*farmBuild) bool { return true }); b.claims != 1 {
			t.Errorf("%d claims, want 1", b.claims)
		}
	}
}
