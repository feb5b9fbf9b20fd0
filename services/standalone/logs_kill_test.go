package standalone_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// archivingVariable makes this test's program an installation that archives logs soon, instead of half a minute after a build's
// end, and says what its stream holds; it holds an archivingPlan.
const archivingVariable = "FREEAGENT_TEST_ARCHIVING"

type archivingPlan struct {
	Dir, Listen, Watch, Ready string
	// Settle is how long after a build's end its log is archived.
	Settle time.Duration
	// StageTTL is the silence forgiven in every stage; 0 means the defaults.
	StageTTL time.Duration
}

// archivingGrace is how long lines stay in the stream after they were archived; a reading that takes less misses none.
const archivingGrace = 10 * time.Second

func runArchiving(text string) error {
	var plan archivingPlan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg := standalone.DefaultConfig()
	cfg.Dir, cfg.Listen, cfg.Key = plan.Dir, plan.Listen, farmKey
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg.Artifact.LogSettle, cfg.Artifact.LogGrace = plan.Settle, archivingGrace
	cfg.Artifact.LogLease, cfg.Artifact.LogSweep = 3*time.Second, time.Second
	for stage := range cfg.Scheduler.StageTTLs {
		if plan.StageTTL > 0 {
			cfg.Scheduler.StageTTLs[stage] = plan.StageTTL
		}
	}
	app, err := standalone.Open(ctx, cfg)
	if err != nil {
		return err
	}
	return app.Run(ctx, func() {
		if err := os.WriteFile(plan.Ready, []byte("{}"), 0o600); err != nil {
			panic(err)
		}
	}, standalone.Part{Name: "watch", Run: func(ctx context.Context) error { return watchLogs(ctx, app, plan.Watch) }})
}

// watchLogs says how many messages of a build's log lie in the stream.
func watchLogs(ctx context.Context, app *standalone.App, listen string) error {
	nc, err := app.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := bus.JetStream(nc)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := js.Stream(r.Context(), bus.LogsStream)
		var info *jetstream.StreamInfo
		if err == nil {
			info, err = s.Info(r.Context(), jetstream.WithSubjectFilter(bus.LogSubjectsOf(r.URL.Query().Get("build"))))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		n := uint64(0)
		for _, of := range info.State.Subjects {
			n += of
		}
		fmt.Fprint(w, n)
	})}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// archivingFarm is a farm of that program.
type archivingFarm struct {
	*farm
	watch string
	seen  map[string]bool
}

func newArchivingFarm(t *testing.T, plan archivingPlan) *archivingFarm {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &archivingFarm{farm: &farm{t: t, dir: t.TempDir(), port: freePort(t)}, watch: "127.0.0.1:" + freePort(t), seen: map[string]bool{}}
	plan.Dir, plan.Listen, plan.Watch = f.dir, "127.0.0.1:"+f.port, f.watch
	f.launch = func(ready string) *process {
		plan.Ready = ready
		text, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		return spawn(t, self, []string{archivingVariable + "=" + string(text)})
	}
	f.up()
	return f
}

// inStream is how many messages of a log lie in the stream; -1 if nobody says.
func (f *archivingFarm) inStream(id string) (n int) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, "http://"+f.watch+"?build="+id, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	if _, err := fmt.Fscan(resp.Body, &n); err != nil || resp.StatusCode != http.StatusOK {
		return -1
	}
	return n
}

// archived says whether the log has an archive.
func (f *archivingFarm) archived(id string) bool {
	f.t.Helper()
	b, err := f.client().Builds.Get(f.t.Context(), id)
	return err == nil && b.Log != nil && b.Log.ArchivedAt != ""
}

// newInStore says whether the object store has bytes of an object that were not there when it was asked before; here only logs are
// large enough to lie there.
func (f *archivingFarm) newInStore() (found bool) {
	f.t.Helper()
	_ = filepath.WalkDir(filepath.Join(f.dir, "objects"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(path, "log-") && !f.seen[path] {
			f.seen[path], found = true, true
		}
		return nil // what is moved meanwhile is looked at in the next round
	})
	return found
}

// storing looks closely for new bytes, and whether all have come.
func (f *archivingFarm) storing(id string) bool {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if f.newInStore() {
			return true
		}
		<-tick.C
	}
	return f.archived(id)
}

// long posts a log that takes the archivist a while, and gives its lines.
func (w *v1) long(id string) (texts []string) {
	w.t.Helper()
	random, raw := rand.New(rand.NewPCG(1, 2)), make([]byte, 96)
	for range 40 {
		var body struct {
			Logs []map[string]string `json:"logs"`
		}
		for range 4000 {
			for i := range raw {
				raw[i] = byte(random.Uint32())
			}
			text := fmt.Sprintf("%06d %s", len(texts)+1, base64.RawURLEncoding.EncodeToString(raw))
			body.Logs = append(body.Logs, map[string]string{"level": "info", "message": text})
			texts = append(texts, text)
		}
		data, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		if code := w.post("/api/builds/"+id+"/logs", string(data)); code != http.StatusOK {
			w.t.Fatalf("logs = %d", code)
		}
	}
	return texts
}

// complete reads a log and wants the worker's lines in it, each once, and numbers without a gap.
func (f *archivingFarm) complete(when, id string, want []string) {
	f.t.Helper()
	next, number := 0, int64(0)
	err := f.client().Builds.ReadLog(f.t.Context(), id, func(l api.LogLine) error {
		if number++; l.Line != number {
			return fmt.Errorf("line %d has the number %d", number, l.Line)
		}
		if len(l.Text) < 100 { // the control plane's
			return nil
		}
		if next == len(want) || l.Text != want[next] {
			return fmt.Errorf("line %d is %.20q, want the worker's line %d", number, l.Text, next+1)
		}
		next++
		return nil
	})
	if err != nil || next != len(want) {
		f.t.Fatalf("%s: %d of %d lines, %v", when, next, len(want), err)
	}
}

// TestServerKilledWhileALogIsArchived kills the whole server four times on the way of a large log from the stream into its object:
// twice while it is copied (or just after, where that is quicker than we look), when its archive is known, and when its lines leave the
// stream. Whenever somebody reads, all of it is there, each line once; in the end the archive is, and the stream is empty of it.
func TestServerKilledWhileALogIsArchived(t *testing.T) {
	t.Parallel()
	f := newArchivingFarm(t, archivingPlan{Settle: 200 * time.Millisecond})
	w := f.v1("android")
	id := f.submit()
	if got := w.poll(); got != id {
		t.Fatalf("poll = %q", got)
	}
	want := w.long(id)
	if code := w.upload(id, "true", "the app", true); code != http.StatusOK {
		t.Fatalf("upload = %d", code)
	}
	moments := []struct {
		name string
		now  func() bool
	}{
		{"a part of the archive is stored", func() bool { return f.storing(id) }},
		{"a part of the next try is", func() bool { return f.storing(id) }},
		{"the archive is known", func() bool { return f.archived(id) }},
		{"the stream is empty of it", func() bool { return f.inStream(id) == 0 }},
	}
	for _, m := range moments {
		f.eventually(m.name, m.now)
		f.kill()
		f.newInStore() // what came before the kill
		f.up()
		t.Logf("%s: killed; %d messages in the stream, archived: %t", m.name, f.inStream(id), f.archived(id))
		f.complete("after a kill when "+m.name, id, want)
	}
	f.eventually("the log is archived and has left the stream", func() bool { return f.archived(id) && f.inStream(id) == 0 })
	f.complete("in the end", id, want)
	f.stop()
}
