package stream_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

func chunk(writer string, attempt int32, first int64, texts ...string) logstream.Chunk {
	c := &eventsv1.LogChunk{Attempt: attempt, FirstLine: first}
	for _, t := range texts {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: 5, Level: "info", Text: t})
	}
	return logstream.Chunk{LogChunk: c, Writer: writer}
}

func number(n *logstream.Numbering, chunks ...logstream.Chunk) (got []string) {
	for _, c := range chunks {
		for _, l := range n.Add(c) {
			got = append(got, fmt.Sprintf("%d %s", l.Number, l.Text))
		}
	}
	return got
}

func TestNumbering(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   []logstream.Chunk
		want []string
	}{
		"in order":      {[]logstream.Chunk{chunk("_", 1, 0, "s"), chunk("w", 1, 1, "a", "b"), chunk("w", 1, 3, "c")}, []string{"1 s", "2 a", "3 b", "4 c"}},
		"twice":         {[]logstream.Chunk{chunk("w", 1, 1, "a", "b"), chunk("w", 1, 1, "a", "b"), chunk("w", 1, 3, "c")}, []string{"1 a", "2 b", "3 c"}},
		"half":          {[]logstream.Chunk{chunk("w", 1, 1, "a", "b"), chunk("w", 1, 2, "b", "c")}, []string{"1 a", "2 b", "3 c"}},
		"late repeat":   {[]logstream.Chunk{chunk("w", 1, 1, "a"), chunk("w", 1, 2, "b"), chunk("w", 1, 1, "a"), chunk("w", 1, 3, "c")}, []string{"1 a", "2 b", "3 c"}},
		"a hole":        {[]logstream.Chunk{chunk("w", 1, 1, "a"), chunk("w", 1, 4, "d")}, []string{"1 a", "2 (2 log lines are missing here)", "3 d"}},
		"the beginning": {[]logstream.Chunk{chunk("w", 1, 2, "b")}, []string{"1 (1 log line is missing here)", "2 b"}},
		"two attempts":  {[]logstream.Chunk{chunk("w", 1, 1, "a"), chunk("v", 2, 1, "a"), chunk("w", 1, 2, "b"), chunk("w", 2, 1, "x")}, []string{"1 a", "2 a", "3 b", "4 x"}},
		"not numbered":  {[]logstream.Chunk{chunk("w", 1, 0, "a"), chunk("w", 1, 0, "a")}, []string{"1 a", "2 a"}},
		"beyond a limit": {[]logstream.Chunk{chunk("w", 1, 0, "a"), chunk("w", 1, 1, "limit"), chunk("w", 1, 0, "b"), chunk("w", 1, 1, "limit"), chunk("_", 1, 0, "s"), chunk("w", 2, 0, "c")},
			[]string{"1 a", "2 limit", "3 s", "4 c"}},
		"nothing": {[]logstream.Chunk{chunk("w", 1, 7)}, nil},
	} {
		if diff := cmp.Diff(c.want, number(logstream.NewNumbering(0, nil), c.in...)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestNumberingGoesOnAfterAnArchive(t *testing.T) {
	t.Parallel()
	n := logstream.NewNumbering(0, nil)
	number(n, chunk("w", 1, 1, "a", "b"), chunk("v", 2, 1, "c"))
	marks := []logarchive.Mark{{Writer: "w", Attempt: 1, Last: 2}, {Writer: "v", Attempt: 2, Last: 1}}
	if diff := cmp.Diff(marks, n.Marks()); diff != "" || n.Lines() != 3 {
		t.Errorf("%d lines; marks: -want +got\n%s", n.Lines(), diff)
	}
	got := number(logstream.NewNumbering(n.Lines(), n.Marks()), chunk("v", 2, 1, "c"), chunk("v", 2, 2, "d"))
	if diff := cmp.Diff([]string{"4 d"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestControlPlaneRepeats: a message that the outbox published again after a crash is in the log once, before an archive and
// behind it; equal words under another id are another line.
func TestControlPlaneRepeats(t *testing.T) {
	t.Parallel()
	said := func(id, text string) logstream.Chunk {
		c := chunk(bus.System, 1, 0, text)
		c.ID = id
		return c
	}
	n := logstream.NewNumbering(0, nil)
	got := number(n, said("a", "submitted"), said("a", "submitted"), chunk("w", 1, 1, "x"), said("b", "submitted"), said("a", "submitted"))
	if diff := cmp.Diff([]string{"1 submitted", "2 x", "3 submitted"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	behind := logstream.NewNumbering(n.Lines(), n.Marks())
	behind.Pass(logstream.Head{Writer: bus.System, Attempt: 1, ID: "b", Count: 1})
	got = number(behind, said("a", "submitted"), said("c", "finished"), said("c", "finished"))
	if diff := cmp.Diff([]string{"4 finished"}, got); diff != "" {
		t.Errorf("behind an archive: -want +got\n%s", diff)
	}
}

// held are authors by attempt.
func held(by map[int32]string) *logstream.Authors {
	return logstream.NewAuthors(func(context.Context, string) (*schedulerv1.GetResponse, error) {
		resp := &schedulerv1.GetResponse{}
		for n, worker := range by {
			resp.Attempts = append(resp.Attempts, &schedulerv1.Attempt{Number: n, WorkerId: worker})
		}
		return resp, nil
	})
}

func TestTail(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	js := s.JetStream(s.Connect("test"))
	say := func(writer string, first int64, texts ...string) {
		m, err := bus.NewMessage(t.Context(), "test", bus.LogSubject(writer, "b1", 1), time.Now(), chunk(writer, 1, first, texts...).LogChunk)
		if err == nil {
			_, err = js.PublishMsg(t.Context(), m.NATS())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	say(bus.System, 0, "submitted")
	say("w1", 1, "a", "b")
	if _, err := js.Publish(t.Context(), bus.LogSubject("w1", "b1", 3), []byte("\xff not protobuf")); err != nil {
		t.Fatal(err)
	}
	read := func(after uint64) (got []string, last uint64) {
		tail, err := logstream.Open(t.Context(), js, held(map[int32]string{1: "w1", 3: "w1"}), "b1", after)
		if err != nil {
			t.Fatal(err)
		}
		defer tail.Close(t.Context())
		n := logstream.NewNumbering(0, nil)
		err = tail.Backlog(t.Context(), func(c logstream.Chunk) error {
			got, last = append(got, number(n, c)...), c.Seq
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got, last
	}
	got, last := read(0)
	if diff := cmp.Diff([]string{"1 submitted", "2 a", "3 b", "4 (unreadable log lines)"}, got); diff != "" || last != 3 {
		t.Errorf("read to %d: -want +got\n%s", last, diff)
	}
	if got, _ := read(last); got != nil {
		t.Errorf("after the last: %v", got)
	}
	tail, err := logstream.Open(t.Context(), js, held(map[int32]string{1: "w1", 3: "w1"}), "b1", last)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close(t.Context())
	if _, err := tail.Next(t.Context(), time.Millisecond); !bus.Quiet(t.Context(), err) {
		t.Errorf("Next of nothing = %v, want quiet", err)
	}
	say("w1", 3, "c")
	if c, err := tail.Next(t.Context(), 10*time.Second); err != nil || c.GetFirstLine() != 3 || c.Writer != "w1" {
		t.Errorf("Next = %+v, %v", c, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tail.Next(ended, time.Second); err == nil || bus.Quiet(ended, err) {
		t.Errorf("Next after the end = %v", err)
	}
}
