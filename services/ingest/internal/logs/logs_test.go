package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// farm is a stream, an archive that the test fills, and a Reader and a Broadcaster over them.
type farm struct {
	t           testing.TB
	js          jetstream.JetStream
	reader      *Reader
	broadcaster *Broadcaster

	mu    sync.Mutex
	where *artifactv1.LogResponse
	file  []byte
	asked int
	ended bool
	fail  error
	onAsk func(n int)
}

func setup(t testing.TB) *farm {
	t.Helper()
	s := bustest.Start(t)
	f := &farm{t: t, js: s.JetStream(s.Connect("test")), where: &artifactv1.LogResponse{}}
	var err error
	f.reader, err = NewReader(f.js, logstream.NewAuthors(f.attempts), f.ask, func(*eventsv1.ObjectRef) logarchive.Source { return logarchive.Memory(f.file) })
	if err != nil {
		t.Fatal(err)
	}
	f.broadcaster = NewBroadcaster(f.reader, BroadcastConfig{
		State: f.state, Beat: time.Second,
		Encode: func(b []byte, l Line) []byte { return fmt.Appendf(b, "%d %s\n", l.Number, l.Text) },
	})
	return f
}

func (f *farm) ask(context.Context, string) (*artifactv1.LogResponse, error) {
	f.mu.Lock()
	f.asked++
	n, on := f.asked, f.onAsk
	f.mu.Unlock()
	if on != nil {
		on(n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.where, f.fail
}

// attempts says that w1 held the first.
func (f *farm) attempts(context.Context, string) (*schedulerv1.GetResponse, error) {
	return &schedulerv1.GetResponse{Attempts: []*schedulerv1.Attempt{{Number: 1, WorkerId: "w1"}}}, nil
}

func (f *farm) state(context.Context, string) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return State{Ended: f.ended, Last: []byte("end\n")}, nil
}

func (f *farm) end() { f.mu.Lock(); defer f.mu.Unlock(); f.ended = true }

func (f *farm) say(last bool, texts ...string) {
	f.t.Helper()
	c := &eventsv1.LogChunk{BuildId: "b1", Attempt: 1, Last: last}
	for _, text := range texts {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: 5, Level: "info", Text: text})
	}
	writer := "w1"
	if last {
		writer = bus.System
	}
	m, err := bus.NewMessage(f.t.Context(), "test", bus.LogSubject(writer, "b1", 1), time.Now(), c)
	if err == nil {
		_, err = f.js.PublishMsg(f.t.Context(), m.NATS())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// archive puts all that was said into an archive and deletes it from the stream.
func (f *farm) archive(through uint64, texts ...string) {
	f.t.Helper()
	var out bytes.Buffer
	w, err := logarchive.NewWriter(&out)
	for _, text := range texts {
		if err == nil {
			err = w.Write(logarchive.Line{AtMs: 5, Attempt: 1, Level: "info", Text: text})
		}
	}
	if err == nil {
		_, err = w.Close()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.file = out.Bytes()
	f.where = &artifactv1.LogResponse{Object: &eventsv1.ObjectRef{ObjectId: "o1"}, Lines: int64(len(texts)), ThroughSeq: through}
	f.ended = true
	f.mu.Unlock()
	s, err := f.js.Stream(f.t.Context(), bus.LogsStream)
	if err == nil {
		err = s.Purge(f.t.Context(), jetstream.WithPurgeSubject(bus.LogSubjectsOf("b1")), jetstream.WithPurgeSequence(through+1))
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func texts(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("line ", i+1))
	}
	return all
}

// TestALogThatMovesWhileItIsRead: long after the last look for an archive the log is archived and
// deleted from the stream. The reader has received a part of it, and goes on in the archive.
func TestALogThatMovesWhileItIsRead(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.reader.archiveCheckInterval = 0 // every message may come after a deletion
	all := texts(200)
	for _, text := range all {
		f.say(false, text)
	}
	f.onAsk = func(n int) {
		if n == 100 {
			f.archive(200, all...)
		}
	}
	var got []string
	last, err := f.reader.Read(t.Context(), Request{BuildID: "b1", From: 1}, func(lines []Line) error {
		for _, l := range lines {
			got = append(got, l.Text)
		}
		return nil
	})
	if diff := cmp.Diff(all, got); diff != "" || err != nil || last != 200 {
		t.Errorf("Read = %d, %v: -want +got\n%s", last, err, diff)
	}
}

// recorder is a follower's client.
type recorder struct {
	mu   sync.Mutex
	got  bytes.Buffer
	gate chan struct{} // if set, each Write waits for it
}

func (r *recorder) Write(p []byte) error {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got.Write(p)
	return nil
}
func (r *recorder) Beat() error  { return nil }
func (r *recorder) Flush() error { return nil }
func (r *recorder) End(last []byte) error {
	return r.Write(last)
}

func (r *recorder) lines() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Count(r.got.Bytes(), []byte("\n"))
}

func want(n int) string {
	var b []byte
	for i, text := range texts(n) {
		b = fmt.Appendf(b, "%d %s\n", i+1, text)
	}
	return string(b) + "end\n"
}

func TestALogThatMovesWhileItIsFollowed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.reader.archiveCheckInterval = 0
	all := texts(50)
	f.say(false, all[:20]...)
	out := &recorder{}
	done := make(chan error, 1)
	go func() { done <- f.broadcaster.Follow(t.Context(), "b1", 1, out) }()
	eventually(t, func() bool { return out.lines() == 20 })
	f.onAsk = func(int) {}
	f.mu.Lock()
	f.onAsk = func(n int) { // the next message is received when the log has been archived and partly deleted
		f.mu.Lock()
		f.onAsk = nil
		f.mu.Unlock()
		f.archive(2, all[:40]...)
	}
	f.mu.Unlock()
	f.say(false, all[20:40]...)
	f.say(false, all[40:]...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want(50), out.got.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("not within 15 s")
		}
	}
}

// TestFollowersOfEveryKind: from the beginning, the middle, the end, ahead of it; quick ones, and
// one that stands still until the ring has long forgotten what it needs.
func TestFollowersOfEveryKind(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.broadcaster.ring = 4 << 10
	const n = 5000
	all := texts(n)
	f.say(false, all[:10]...)
	stuck := &recorder{gate: make(chan struct{})}
	outs := map[int64]*recorder{1: {}, 5: {}, 11: {}, -3: {}, 99_999: {}}
	var running sync.WaitGroup
	follow := func(from int64, out *recorder) {
		running.Go(func() {
			if err := f.broadcaster.Follow(t.Context(), "b1", from, out); err != nil {
				t.Error(err)
			}
		})
	}
	for from, out := range outs {
		follow(from, out)
	}
	follow(1, stuck)
	eventually(t, func() bool {
		return outs[1].lines() == 10 && outs[5].lines() == 6 && outs[-3].lines() == 3 && outs[99_999].lines() == 10
	})
	for i := 10; i < n; i += 10 {
		f.say(false, all[i:i+10]...)
	}
	eventually(t, func() bool { return outs[1].lines() == n }) // although one stands still
	f.end()
	f.say(true)
	close(stuck.gate)
	running.Wait()
	whole := want(n)
	for from, out := range map[int64]*recorder{1: outs[1], 99_999: outs[99_999], 0: stuck} {
		if diff := cmp.Diff(whole, out.got.String()); diff != "" {
			t.Errorf("from %d: -want +got\n%.2000s", from, diff)
		}
	}
	if got := outs[11].got.String(); got != whole[len(want(10))-len("end\n"):] {
		t.Errorf("from 11: %.100q", got)
	}
	if len(f.broadcaster.feeds) != 0 {
		t.Errorf("%d feeds are left", len(f.broadcaster.feeds))
	}
}

func TestFollowFails(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.end()
	f.fail = errors.New("nobody answers")
	if err := f.broadcaster.Follow(t.Context(), "b1", 1, &recorder{}); !errors.Is(err, f.fail) {
		t.Errorf("Follow = %v, want %v", err, f.fail)
	}
	f.fail = nil
	ctx, cancel := context.WithCancel(t.Context())
	f.ended = false
	f.say(false, "one")
	out := &recorder{}
	done := make(chan error, 1)
	go func() { done <- f.broadcaster.Follow(ctx, "b1", 1, out) }()
	eventually(t, func() bool { return out.lines() == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow = %v, want %v", err, context.Canceled)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "plain ü ✓": "plain ü ✓", "a\tb": "a\tb", "\x1b[1;31mred\x1b[0m": "red", "\x1b]0;title\x07x": "x", "\x1b]8;;http://e\x1b\\link": "link",
		"a\x1b[2Jb\x1b[Hc": "abc", "\x1b(Bx": "x", "\x1bcx": "x", "\x1b": "", "\x1b[": "", "\x1b]never": "", "a\rb\x00\x08": "ab", "x\u009b31my": "x31my",
		"\x1bP+q\x1b\\z": "z", "\x7f": "",
	} {
		if got := Plain(in); got != want {
			t.Errorf("Plain(%q) = %q, want %q", in, got, want)
		}
	}
}
