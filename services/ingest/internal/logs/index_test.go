package logs

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// numbered publishes lines of w1's without waiting, with a head unless bare; wait for done
// afterwards.
func (f *farm) numbered(writer, id string, first int64, bare bool, texts ...string) {
	f.t.Helper()
	c := &eventsv1.LogChunk{BuildId: id, Attempt: 1, FirstLine: first}
	for _, text := range texts {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: 5, Level: "info", Text: text})
	}
	m, err := bus.NewMessage(f.t.Context(), "test", bus.LogSubject(writer, id, 1), time.Now(), c)
	if err == nil && !bare {
		m.Header[bus.HeaderLines] = bus.LogLines(first, len(texts))
	}
	if err == nil {
		_, err = f.js.PublishMsgAsync(m.NATS())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *farm) done() {
	f.t.Helper()
	select {
	case <-f.js.PublishAsyncComplete():
	case <-time.After(30 * time.Second):
		f.t.Fatal("not stored after 30 s")
	}
}

// rough publishes a log with all that may be in one: other builds' and other workers' lines
// between, lines of the control plane, repeats, holes.
func (f *farm) rough(chunks int, bare func(chunk int) bool) {
	f.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	next := int64(1)
	for i := range chunks {
		f.numbered("w1", "b2", int64(i+1), false, "of another build")
		f.numbered("w2", "b1", next, false, "of another worker")
		switch random.IntN(40) {
		case 0:
			f.numbered(bus.System, "b1", 0, bare(i), "by the control plane")
		case 1:
			f.numbered("w1", "b1", max(next-5, 1), bare(i), "a repeat", "a repeat")
		case 2:
			next += int64(random.IntN(30))
		}
		var texts []string
		for n := range 1 + random.IntN(30) {
			texts = append(texts, fmt.Sprint("line ", next+int64(n)))
		}
		f.numbered("w1", "b1", next, bare(i), texts...)
		next += int64(len(texts))
	}
	f.done()
}

// read gives lines from a number on, at most n.
func (f *farm) read(b *Reader, from int64, n int) (got []string) {
	f.t.Helper()
	_, err := b.Read(f.t.Context(), Request{BuildID: "b1", From: from}, func(lines []Line) error {
		for _, l := range lines {
			if got = append(got, fmt.Sprint(l.Number, " ", l.Text)); len(got) == n {
				return logarchive.ErrStop
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// again is a reader that knows no places yet.
func (f *farm) again() *Reader {
	return &Reader{js: f.reader.js, authors: f.reader.authors, findArchive: f.reader.findArchive, archive: f.reader.archive, archiveCheckInterval: f.reader.archiveCheckInterval}
}

func (b *Reader) places(id string) int {
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	if p := b.index.byID[id]; p != nil {
		return len(p.at)
	}
	return 0
}

// TestReadingFromTheMiddle: wherever one begins, and whatever is known already, a line has the
// number that it has for who reads all.
func TestReadingFromTheMiddle(t *testing.T) {
	t.Parallel()
	for name, bare := range map[string]func(int) bool{
		"with heads":        func(int) bool { return false },
		"without":           func(int) bool { return true },
		"without from some": func(i int) bool { return i > 700 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.rough(1500, bare)
			all := f.read(f.again(), 1, 0)
			if len(all) < 20_000 {
				t.Fatalf("only %d lines", len(all))
			}
			warm := f.again()
			for _, from := range []int{len(all), 15_000, 4_001, 12_000, len(all) - 1, 9_999, 20_000, 4_000, 1} {
				want := all[from-1 : min(from+99, len(all))]
				for which, b := range map[string]*Reader{"cold": f.again(), "warm": warm} {
					if diff := cmp.Diff(want, f.read(b, int64(from), 100)); diff != "" {
						t.Fatalf("%s, from %d: -want +got\n%s", which, from, diff)
					}
				}
			}
			if n := warm.places("b1"); n < 5 || n > len(all)/checkpointEvery {
				t.Errorf("%d places are remembered of %d lines", n, len(all))
			}
			last, err := f.again().Read(t.Context(), Request{BuildID: "b1", From: 1 << 62}, func([]Line) error { return nil })
			if err != nil || last != int64(len(all)) {
				t.Errorf("lines in all = %d, %v, want %d", last, err, len(all))
			}
		})
	}
}

// TestPlacesOfAStreamThatIsNoMore are not believed.
func TestPlacesOfAStreamThatIsNoMore(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.rough(600, func(int) bool { return false })
	f.read(f.reader, 6000, 1)
	if f.reader.places("b1") == 0 {
		t.Fatal("no places are remembered")
	}
	if err := f.js.DeleteStream(t.Context(), bus.LogsStream); err != nil {
		t.Fatal(err)
	}
	if err := bus.Ensure(t.Context(), f.js, bus.NewTopology(1)); err != nil {
		t.Fatal(err)
	}
	f.rough(1000, func(i int) bool { return i%2 == 0 })
	all := f.read(f.again(), 1, 0)
	if diff := cmp.Diff(all[5999:6099], f.read(f.reader, 6000, 100)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestPlacesAreForgottenWithTheLog: once it is archived the archive says where lines are.
func TestPlacesAreForgottenWithTheLog(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.rough(600, func(int) bool { return false })
	all := f.read(f.reader, 1, 0)
	if f.reader.places("b1") == 0 {
		t.Fatal("no places are remembered")
	}
	s, err := f.js.Stream(t.Context(), bus.LogsStream)
	if err != nil {
		t.Fatal(err)
	}
	f.archive(s.CachedInfo().State.LastSeq, all...)
	_, err = f.reader.Read(t.Context(), Request{BuildID: "b1", From: 6000, To: 6000, Ended: true}, func(lines []Line) error {
		if lines[0].Text != all[5999] {
			t.Errorf("line 6000 = %q, want %q", lines[0].Text, all[5999])
		}
		return nil
	})
	if err != nil || f.reader.places("b1") != 0 {
		t.Errorf("Read = %v, %d places are remembered", err, f.reader.places("b1"))
	}
}

// TestALogThatMovesWhileItsPlacesAreLookedFor: heads of a log of which a part is deleted would
// count wrong.
func TestALogThatMovesWhileItsPlacesAreLookedFor(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.reader.archiveCheckInterval = 0
	f.rough(600, func(int) bool { return false })
	all := f.read(f.reader, 1, 0)
	f.reader = f.again()
	s, err := f.js.Stream(t.Context(), bus.LogsStream)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.asked = 0
	f.onAsk = func(n int) {
		if n == 1 {
			f.archive(s.CachedInfo().State.LastSeq, all...)
		}
	}
	f.mu.Unlock()
	if diff := cmp.Diff([]string{"6000 " + all[5999], "6001 " + all[6000]}, f.read(f.reader, 6000, 2)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestFollowingALongLog: it is read from near its end on; who wants what lies before gets it all
// the same.
func TestFollowingALongLog(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.rough(1000, func(int) bool { return false })
	all := f.read(f.again(), 1, 0)
	outs := map[int64]*recorder{1: {}, 7000: {}, int64(len(all)): {}, -3: {}}
	var running sync.WaitGroup
	for from, out := range outs {
		running.Go(func() {
			if err := f.broadcaster.Follow(t.Context(), "b1", from, out); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, func() bool { return outs[-3].lines() == 3 })
	f.end()
	f.say(true, "the last")
	running.Wait()
	all = append(all, fmt.Sprint(len(all)+1, " the last"))
	for from, out := range outs {
		if from < 0 {
			from += int64(len(all))
		}
		want := strings.Join(all[from-1:], "\n") + "\nend\n"
		if diff := cmp.Diff(want, out.got.String()); diff != "" {
			t.Errorf("from %d: -want +got\n%.2000s", from, diff)
		}
	}
	if f.reader.places("b1") == 0 {
		t.Error("no place was looked for")
	}
}

// BenchmarkTheMiddleOfALiveLog is the time to the first line from the middle of a log of a million
// lines that is still in the stream, with as many of other builds between: for a gateway that sees
// the log for the first time, and for one that knows it.
func BenchmarkTheMiddleOfALiveLog(b *testing.B) {
	f := setup(b)
	const lines, chunk = 1_000_000, 100
	for i := 0; i < lines; i += chunk {
		for _, id := range []string{"b1", "b2"} {
			texts := make([]string, chunk)
			for n := range texts {
				texts[n] = fmt.Sprintf("> Task :app:compile%dKotlin UP-TO-DATE in %d ms", (i+n)%97, (i+n)*7919%1000)
			}
			f.numbered("w1", id, int64(i+1), false, texts...)
		}
	}
	f.done()
	for _, known := range []bool{false, true} {
		b.Run(map[bool]string{false: "first-look", true: "known"}[known], func(b *testing.B) {
			f.t = b
			reader := f.again()
			for b.Loop() {
				if !known {
					reader = f.again()
				}
				if got := f.read(reader, lines/2, 1); len(got) != 1 {
					b.Fatalf("lines = %q", got)
				}
			}
		})
	}
}
