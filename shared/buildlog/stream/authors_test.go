package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// directory plays the scheduler.
type directory struct {
	attempts []*schedulerv1.Attempt
	err      error
	asked    int
}

func (d *directory) get(context.Context, string) (*schedulerv1.GetResponse, error) {
	d.asked++
	if d.err != nil {
		return nil, d.err
	}
	return &schedulerv1.GetResponse{Attempts: d.attempts}, nil
}

func (d *directory) claim(attempt int32, worker string) {
	d.attempts = append(d.attempts, &schedulerv1.Attempt{Number: attempt, WorkerId: worker})
}

func TestAuthors(t *testing.T) {
	t.Parallel()
	d := &directory{}
	a := logstream.NewAuthors(d.get)
	wrote := func(worker string, attempt int32, want bool, questions int) {
		t.Helper()
		before := d.asked
		got, err := a.Wrote(t.Context(), "b1", worker, attempt)
		if err != nil || got != want || d.asked-before != questions {
			t.Errorf("Wrote(%s, %d) = %t, %v with %d questions, want %t with %d", worker, attempt, got, err, d.asked-before, want, questions)
		}
	}
	wrote(bus.System, 1, true, 0)
	d.claim(1, "w1")
	wrote("w1", 1, true, 1)
	wrote("w1", 1, true, 0)
	wrote("w2", 1, false, 0)
	wrote("w2", 3, false, 1) // not claimed yet, for all we know
	wrote("w2", 4, false, 0) // and it is not asked again at once
	d.claim(3, "w1")
	wrote("w1", 3, true, 1) // another's fault is not w1's
	wrote("w2", 3, false, 0)
	wrote("w1", 2, false, 0) // past, and nobody held it
	d.err = errors.New("nobody answers")
	wrote("w1", 3, true, 0)
	if _, err := a.Wrote(t.Context(), "b1", "w1", 9); !errors.Is(err, d.err) {
		t.Errorf("Wrote without an answer = %v, want %v", err, d.err)
	}
}

// TestAuthorsOfAnUnknownBuild: nothing can be said against anybody.
func TestAuthorsOfAnUnknownBuild(t *testing.T) {
	t.Parallel()
	d := &directory{err: fmt.Errorf("build b1: %w", build.ErrNotFound)}
	a := logstream.NewAuthors(d.get)
	for range 3 {
		if wrote, err := a.Wrote(t.Context(), "b1", "w1", 1); !wrote || err != nil {
			t.Errorf("Wrote = %t, %v, want true", wrote, err)
		}
	}
	if d.asked != 1 {
		t.Errorf("%d questions, want 1", d.asked)
	}
}

// say publishes a chunk as a worker does, with what the head says.
func say(t testing.TB, nc *nats.Conn, c logstream.Chunk) {
	t.Helper()
	m, err := bus.NewMessage(t.Context(), "test", bus.LogSubject(c.Writer, "b1", c.GetAttempt()), time.Now(), c.LogChunk)
	if err == nil {
		m.Header[bus.HeaderLines] = bus.LogLines(c.GetFirstLine(), len(c.GetLines()))
		_, err = nc.RequestMsg(m.NATS(), 5*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHeadsCountAsTheLinesDo: whatever lies in a log, its heads lead to the same numbers, at each place.
func TestHeadsCountAsTheLinesDo(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	nc := s.Connect("test")
	js := s.JetStream(nc)
	for _, c := range []logstream.Chunk{
		chunk(bus.System, 1, 0, "submitted"), chunk("w1", 1, 1, "a", "b"), chunk("w2", 1, 1, "of another", "of another"), chunk("w1", 1, 2, "b", "c"),
		chunk("w1", 1, 7, "a hole before this"), chunk("w1", 1, 1, "late repeat"), chunk(bus.System, 1, 0, "lost"), chunk("w2", 2, 0, "x"),
		chunk("w2", 2, 0, "y", "z"), chunk("w2", 2, 1, "limit"), chunk("w2", 2, 0, "beyond"), chunk(bus.System, 2, 0, "the end"),
	} {
		say(t, nc, c)
	}
	authors := held(map[int32]string{1: "w1", 2: "w2"})
	tail, err := logstream.Open(t.Context(), js, authors, "b1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close(t.Context())
	read, passed := map[uint64]int64{}, map[uint64]int64{}
	n := logstream.NewNumbering(0, nil)
	err = tail.Backlog(t.Context(), func(c logstream.Chunk) error {
		n.Add(c)
		read[c.Seq] = n.Lines()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h := logstream.NewNumbering(0, nil)
	err = logstream.Heads(t.Context(), js, authors, "b1", 0, func(head logstream.Head) error {
		h.Pass(head)
		passed[head.Seq] = h.Lines()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(read, 3) // another's has no head here
	if diff := cmp.Diff(read, passed); diff != "" {
		t.Errorf("lines by place: -read +passed\n%s", diff)
	}
	if diff := cmp.Diff(n.Marks(), h.Marks()); diff != "" {
		t.Errorf("marks: -read +passed\n%s", diff)
	}
	say(t, nc, chunk("w2", 2, 2, "more"))
	if _, err := nc.Request(bus.LogSubject("w1", "b1", 1), []byte("without a head"), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	say(t, nc, chunk("w2", 2, 3, "more"))
	count := 0
	err = logstream.Heads(t.Context(), js, authors, "b1", 12, func(logstream.Head) error { count++; return nil })
	if err != nil || count != 1 {
		t.Errorf("Heads up to one without = %d, %v, want 1", count, err)
	}
}
