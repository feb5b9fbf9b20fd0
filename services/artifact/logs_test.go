package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/logarchive"
	"github.com/expo-free-agent/freeagent/shared/logstream"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

// quick makes a log's life short.
func quick(c *artifact.Config) {
	c.LogSettle, c.LogGrace, c.LogSweep = 10*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
}

func (f *farm) js() jetstream.JetStream { f.t.Helper(); return f.bus.JetStream(f.conn) }

func (f *farm) publish(subject string, fact proto.Message) {
	f.t.Helper()
	m, err := bus.NewMessage(f.t.Context(), "test", subject, time.Now(), fact)
	if err == nil {
		_, err = f.js().PublishMsg(f.t.Context(), m.NATS())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// say adds lines of a worker to a log.
func (f *farm) say(id, worker string, attempt int32, first int64, texts ...string) {
	f.t.Helper()
	c := &eventsv1.LogChunk{BuildId: id, Attempt: attempt, FirstLine: first}
	for _, text := range texts {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: 1_700_000_000_000, Level: "info", Stage: "install", Text: text})
	}
	f.publish(bus.LogSubject(worker, id, attempt), c)
}

// ends tells of a build's end; ago says how long ago it was.
func (f *farm) ends(id string, ago time.Duration) {
	f.t.Helper()
	at := time.Now().Add(-ago).UnixMilli()
	f.scheduler.set(&schedulerv1.Build{Id: id, Project: "shop", State: "completed", FinishedAtMs: at}, "")
	f.publish(bus.BuildSubject(id, bus.Completed), &eventsv1.BuildCompleted{BuildId: id, FinishedAtMs: at})
}

func (f *farm) log0(id string) *artifactv1.LogResponse {
	f.t.Helper()
	var resp artifactv1.LogResponse
	if err := f.call("log", &artifactv1.LogRequest{BuildId: id}, &resp); err != nil {
		f.t.Fatalf("log: %v", err)
	}
	return &resp
}

// granted reads an archive with a ticket, as the gateway does.
type granted struct {
	f     *farm
	grant *artifactv1.Grant
}

func (g granted) Size() int64 { return g.grant.GetObject().GetSize() }

func (g granted) ReadAt(_ context.Context, p []byte, offset int64) error {
	a := g.f.get(g.grant, "Range", fmt.Sprintf("bytes=%d-%d", offset, offset+int64(len(p))-1))
	if a.status != http.StatusPartialContent || len(a.body) != len(p) {
		return fmt.Errorf("status %d with %d bytes: %w", a.status, len(a.body), a.err)
	}
	copy(p, a.body)
	return nil
}

// whole gives a log as its readers see it: the archive, then what the stream has beyond. If there is another archive
// afterwards, what lay in the stream may have been deleted meanwhile, and it is read again.
func (f *farm) whole(id string) []string {
	f.t.Helper()
	for {
		before := f.log0(id)
		texts := f.wholeBy(id, before)
		if f.log0(id).GetObject().GetObjectId() == before.GetObject().GetObjectId() {
			return texts
		}
	}
}

func (f *farm) wholeBy(id string, resp *artifactv1.LogResponse) (texts []string) {
	f.t.Helper()
	add := func(l logarchive.Line) error {
		if l.Number != int64(len(texts)+1) {
			f.t.Errorf("line %d has the number %d", len(texts)+1, l.Number)
		}
		texts = append(texts, l.Text)
		return nil
	}
	numbers := logstream.NewNumbering(0, nil)
	if resp.GetObject() != nil {
		r, err := logarchive.Open(f.t.Context(), granted{f, f.grantDownload(resp.GetObject().GetObjectId())})
		if err == nil {
			err = r.Read(f.t.Context(), 1, 0, add)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		numbers = logstream.NewNumbering(r.Lines(), r.Marks())
	}
	tail, err := logstream.Open(f.t.Context(), f.js(), id, resp.GetThroughSeq())
	if err != nil {
		f.t.Fatal(err)
	}
	defer tail.Close(f.t.Context())
	err = tail.Backlog(f.t.Context(), func(c logstream.Chunk) error {
		for _, l := range numbers.Add(c) {
			_ = add(l)
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return texts
}

// inStream counts a log's messages in the stream.
func (f *farm) inStream(id string) uint64 {
	f.t.Helper()
	s, err := f.js().Stream(f.t.Context(), bus.LogsStream)
	if err != nil {
		f.t.Fatal(err)
	}
	info, err := s.Info(f.t.Context(), jetstream.WithSubjectFilter(bus.LogSubjectsOf(id)))
	if err != nil {
		f.t.Fatal(err)
	}
	n := uint64(0)
	for _, of := range info.State.Subjects {
		n += of
	}
	return n
}

func (f *farm) sayWhole(id string) (texts []string) {
	f.t.Helper()
	f.say(id, bus.System, 1, 0, "Build submitted")
	f.say(id, "w1", 1, 1, "a1", "a2")
	f.say(id, "w1", 1, 1, "a1", "a2") // sent again
	f.say(id, bus.System, 1, 0, "Attempt 1 ended early")
	f.say(id, "w2", 2, 1, "b1")
	f.say(id, "w2", 2, 2, "b2", "b3")
	f.say(id, bus.System, 2, 0, "Build completed successfully")
	return []string{"Build submitted", "a1", "a2", "Attempt 1 ended early", "b1", "b2", "b3", "Build completed successfully"}
}

func TestLogIsArchivedAndLeavesTheStream(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	want := f.sayWhole("b1")
	f.say("b2", "w1", 1, 1, "of a build that goes on")
	f.ends("b1", 0)
	f.eventually("the log left the stream", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	l := f.log0("b1")
	if l.GetLines() != int64(len(want)) || l.GetKeptUntilMs() <= time.Now().UnixMilli() || l.GetArchivedAtMs() == 0 {
		t.Errorf("log = %v", l)
	}
	if f.inStream("b2") != 1 || f.log0("b2").GetObject() != nil {
		t.Error("the log of a build that goes on was touched")
	}
	// What comes late joins the archive, still one object; the old one is removed by and by.
	old := l.GetObject().GetObjectId()
	f.say("b1", "w2", 2, 2, "b2", "b3") // a repeat long after
	f.say("b1", bus.System, 2, 0, "Retried as build b9")
	want = append(want, "Retried as build b9")
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("late line: -want +got\n%s", diff)
	}
	f.eventually("the late line left the stream", func() bool { return f.log0("b1").GetObject().GetObjectId() != old && f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("late line archived: -want +got\n%s", diff)
	}
}

func TestLogOfABuildWhoseEndWasNotHeard(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	want := f.sayWhole("b1")
	f.scheduler.set(&schedulerv1.Build{Id: "b1", State: "failed", FinishedAtMs: time.Now().UnixMilli()}, "")
	f.scheduler.set(&schedulerv1.Build{Id: "b2", State: "building"}, "")
	f.say("b2", "w1", 1, 1, "goes on")
	f.say("unknown", "w1", 1, 1, "of nobody")
	f.eventually("the log was archived", func() bool { return f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if f.inStream("b2") != 1 || f.inStream("unknown") != 1 {
		t.Error("a log was touched whose build has not ended")
	}
}

func TestOldLogIsRemoved(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { quick(c); c.LogRetention = time.Hour; c.StagedTTL = 2 * c.TicketTTL }})
	f.sayWhole("young")
	f.sayWhole("old")
	f.ends("young", time.Minute)
	f.ends("old", 2*time.Hour)
	f.eventually("the old one is removed", func() bool { return f.log0("old").GetRemovedAtMs() > 0 })
	if l := f.log0("old"); l.GetObject() != nil || l.GetLines() == 0 || f.inStream("old") != 0 {
		t.Errorf("log = %v, %d in the stream", l, f.inStream("old"))
	}
	f.eventually("the young one is archived", func() bool { return f.log0("young").GetObject() != nil })
	f.eventually("one object is left", func() bool { return f.rows() == 1 })
	f.stat(f.log0("young").GetObject().GetObjectId())
}

// sayMuch adds what does not fit into a row of the table even when it is packed.
func (f *farm) sayMuch(id string) (texts []string) {
	f.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for chunk := range 20 {
		var lines []string
		for range 100 {
			lines = append(lines, fmt.Sprintf("%x%x%x%x", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64()))
		}
		f.say(id, "w1", 1, int64(chunk*100+1), lines...)
		texts = append(texts, lines...)
	}
	return texts
}

// TestLargeLogLiesInTheObjectStore: also when more comes late.
func TestLargeLogLiesInTheObjectStore(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	want := f.sayMuch("b1")
	f.ends("b1", 0)
	f.eventually("the log left the stream", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
	if keys := f.keys(); len(keys) != 1 || !strings.HasPrefix(keys[0], "shop/b1/0/log-") {
		t.Errorf("keys = %q", keys)
	}
	old := f.log0("b1").GetObject().GetObjectId()
	f.say("b1", bus.System, 1, 0, "late")
	f.eventually("the late line left the stream", func() bool { return f.log0("b1").GetObject().GetObjectId() != old && f.inStream("b1") == 0 })
	if diff := cmp.Diff(append(want, "late"), f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	f.expire() // the archive before
	f.eventually("one object is left", func() bool { return f.rows() == 1 && len(f.keys()) == 1 })
}

var errKilled = errors.New("killed here")

// TestArchiveSurvivesACrashAtEachStep breaks off after each step, as a kill would, and lets another replica go on. At every
// moment readers see each line once.
func TestArchiveSurvivesACrashAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"stored", "saved", "purged"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			died := make(chan struct{})
			var deaths atomic.Int32
			f := setup(t, option{config: quick, prepare: func(s *artifact.Service) {
				s.SetLogs(50*time.Millisecond, time.Hour, func(at string) error { // an hour: this one does not try again by itself
					if at == step && deaths.Add(1) == 1 {
						close(died)
					}
					if deaths.Load() > 0 {
						return errKilled
					}
					return nil
				})
			}})
			want := f.sayWhole("b1")
			f.ends("b1", 0)
			<-died
			if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
				t.Errorf("after the crash: -want +got\n%s", diff)
			}
			if err := f.stop(); err != nil {
				t.Fatal(err)
			}
			f.prepare = []func(*artifact.Service){func(s *artifact.Service) { s.SetLogs(time.Minute, time.Millisecond, nil) }}
			f.overdue("b1")
			f.start(artifact.Deps{DB: f.db, Store: f.store, Conn: f.conn, Log: f.slog()})
			f.eventually("the next replica went on", func() bool { return f.log0("b1").GetObject() != nil && f.inStream("b1") == 0 })
			if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// overdue lets the time of a row pass.
func (f *farm) overdue(id string) {
	f.t.Helper()
	f.sqlExec("UPDATE build_logs SET due_ms = 1 WHERE build_id = $1", id)
}

// TestReplicasArchiveOnce: leases that are too short make replicas work on the same log at once; one archive wins, and readers
// see each line once all the while.
func TestReplicasArchiveOnce(t *testing.T) {
	t.Parallel()
	hasty := func(s *artifact.Service) { s.SetLogs(time.Second, time.Millisecond, nil) }
	f := setup(t, option{config: quick, prepare: hasty})
	first := f.url
	f.start(artifact.Deps{DB: f.db, Store: f.store, Conn: f.bus.Connect("second"), Log: f.slog()})
	if f.url == first {
		t.Fatal("no second replica")
	}
	const builds = 12
	var wants [builds][]string
	for i := range builds {
		wants[i] = f.sayWhole(fmt.Sprint("b", i))
		f.ends(fmt.Sprint("b", i), 0)
	}
	for done := 0; done < builds; {
		done = 0
		for i := range builds {
			id := fmt.Sprint("b", i)
			if diff := cmp.Diff(wants[i], f.whole(id)); diff != "" {
				t.Fatalf("%s: -want +got\n%s", id, diff)
			}
			if f.inStream(id) == 0 && f.log0(id).GetObject() != nil {
				done++
			}
		}
	}
}

func TestArchiveWaitsForABrokenStore(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	f := setup(t, option{config: quick, prepare: func(s *artifact.Service) { s.SetLogs(time.Minute, 10*time.Millisecond, nil) },
		wrap: func(s objects.Store) objects.Store {
			return objectstest.WithFailure(s, func(op objectstest.Op, _ string) error {
				if op == objectstest.OpPut && broken.Load() {
					return objects.ErrNoSpace
				}
				return nil
			})
		}})
	want := f.sayMuch("b1")
	f.ends("b1", 0)
	f.eventually("it was tried", func() bool { return strings.Count(f.log.String(), "log not archived yet") > 1 })
	if f.log0("b1").GetObject() != nil || f.inStream("b1") == 0 {
		t.Error("the log left the stream without an archive")
	}
	broken.Store(false)
	f.eventually("it is archived", func() bool { return f.inStream("b1") == 0 })
	if diff := cmp.Diff(want, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestRecordLog(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: quick})
	file := archiveOf(t, "one", "two")
	g := f.grantUpload("b1", artifactv1.Kind_KIND_LOG)
	if a := f.put(g, file); a.status != http.StatusOK {
		t.Fatalf("PUT = %d %s", a.status, a.body)
	}
	record := func(buildID, objectID string) error {
		return f.call("record_log", &artifactv1.RecordLogRequest{BuildId: buildID, ObjectId: objectID, EndedAtMs: time.Now().UnixMilli()},
			&artifactv1.RecordLogResponse{})
	}
	for range 2 { // the second is a repeat
		if err := record("b1", g.GetObjectId()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"one", "two"}, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	f.say("b1", bus.System, 1, 0, "Retried as build b9")
	if diff := cmp.Diff([]string{"one", "two", "Retried as build b9"}, f.whole("b1")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	other := f.grantUpload("b1", artifactv1.Kind_KIND_LOG)
	f.put(other, file)
	bad := f.grantUpload("b3", artifactv1.Kind_KIND_LOG)
	f.put(bad, []byte("no archive"))
	for name, c := range map[string]struct {
		build, object string
		want          error
	}{
		"of another": {"b2", g.GetObjectId(), build.ErrInvalid},
		"has one":    {"b1", other.GetObjectId(), build.ErrInvalid},
		"no archive": {"b3", bad.GetObjectId(), build.ErrInvalid},
		"not there":  {"b1", "none", build.ErrObjectNotFound},
	} {
		if err := record(c.build, c.object); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func archiveOf(t *testing.T, texts ...string) []byte {
	t.Helper()
	var out writerTo
	w, err := logarchive.NewWriter(&out)
	for _, text := range texts {
		if err == nil {
			err = w.Write(logarchive.Line{AtMs: 1, Attempt: 1, Level: "info", Text: text})
		}
	}
	if err == nil {
		_, err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type writerTo []byte

func (w *writerTo) Write(p []byte) (int, error) { *w = slices.Concat(*w, p); return len(p), nil }
