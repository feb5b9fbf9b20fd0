package stream_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// publishAgain publishes a message until the stream stores it, however long it recognizes a repeat.
func publishAgain(t *testing.T, js jetstream.JetStream, m bus.Message) {
	t.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		ack, err := js.PublishMsg(t.Context(), m.NATS())
		if err != nil {
			t.Fatal(err)
		}
		if !ack.Duplicate {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the stream still recognizes a repeat after 20 s")
		}
	}
}

// TestHeadsCountRepeatsAsLinesDo: a place in a log that is found by heads has the number that it has for those who read the lines,
// also behind repeats of the control plane.
func TestHeadsCountRepeatsAsLinesDo(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	js := s.JetStream(s.Connect("test"))
	stream, err := js.Stream(t.Context(), bus.LogsStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond // the shortest that the server allows
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	message := func(writer string, first int64, texts ...string) bus.Message {
		m, err := bus.NewMessage(t.Context(), "test", bus.LogSubject(writer, "b1", 1), time.Now(), chunk(writer, 1, first, texts...).LogChunk)
		if err != nil {
			t.Fatal(err)
		}
		m.Header[bus.HeaderLines] = bus.LogLines(first, len(texts))
		return m
	}
	submitted, assigned := message(bus.System, 0, "submitted"), message(bus.System, 0, "assigned")
	for _, m := range []bus.Message{submitted, assigned, submitted, message("w1", 1, "a", "b"), assigned, submitted, message("w1", 3, "c")} {
		publishAgain(t, js, m)
	}
	authors := held(map[int32]string{1: "w1"})
	tail, err := logstream.Open(t.Context(), js, authors, "b1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close(t.Context())
	lines, at := logstream.NewNumbering(0, nil), map[uint64]int64{}
	var got []string
	err = tail.Backlog(t.Context(), func(c logstream.Chunk) error {
		got = append(got, number(lines, c)...)
		at[c.Seq] = lines.Lines()
		return nil
	})
	if diff := cmp.Diff([]string{"1 submitted", "2 assigned", "3 a", "4 b", "5 c"}, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	heads, seen := logstream.NewNumbering(0, nil), 0
	err = logstream.Heads(t.Context(), js, authors, "b1", 0, func(h logstream.Head) error {
		heads.Pass(h)
		if seen++; heads.Lines() != at[h.Seq] {
			t.Errorf("place %d is behind line %d by the heads, %d by the lines", h.Seq, heads.Lines(), at[h.Seq])
		}
		return nil
	})
	if err != nil || seen != 7 {
		t.Errorf("%d heads, %v", seen, err)
	}
}
