package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
)

// sample is line n of a log that compresses about as real ones do.
func sample(n int64) logarchive.Line {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	levels, stages := []string{"info", "warn", "error", "debug"}, []string{"", "install", "compile"}
	return logarchive.Line{
		Number: n, AtMs: 1_700_000_000_000 + n, Attempt: int32(n%3 + 1), Level: levels[r.IntN(4)], Stage: stages[r.IntN(3)],
		Text: fmt.Sprintf("> Task :app:compile%dKotlin [%x] UP-TO-DATE in %d ms", r.IntN(40), r.Uint64(), n),
	}
}

func write(tb testing.TB, lines int64, marks ...logarchive.Mark) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := logarchive.NewWriter(&out)
	if err != nil {
		tb.Fatal(err)
	}
	for n := range lines {
		if err := w.Write(sample(n + 1)); err != nil {
			tb.Fatal(err)
		}
	}
	info, err := w.Close(marks...)
	if err != nil || info.Lines != lines || info.Bytes != int64(out.Len()) {
		tb.Fatalf("Close = %+v, %v; want %d lines, %d bytes", info, err, lines, out.Len())
	}
	return out.Bytes()
}

func read(tb testing.TB, file []byte, from, to int64) (lines []logarchive.Line) {
	tb.Helper()
	r, err := logarchive.Open(tb.Context(), logarchive.Memory(file))
	if err != nil {
		tb.Fatal(err)
	}
	if err := r.Read(tb.Context(), from, to, func(l logarchive.Line) error { lines = append(lines, l); return nil }); err != nil {
		tb.Fatal(err)
	}
	return lines
}

func TestWhatWasWrittenIsReadFromAnyLineOn(t *testing.T) {
	t.Parallel()
	const n = 20_000 // several frames
	file := write(t, n)
	for _, c := range []struct{ from, to, first, last int64 }{
		{1, 0, 1, n}, {-5, 3, 1, 3}, {n, 0, n, n}, {n / 2, n/2 + 99, n / 2, n/2 + 99}, {n - 1, n + 50, n - 1, n}, {n + 1, 0, 1, 0}, {7, 6, 1, 0},
	} {
		var want []logarchive.Line
		for i := c.first; i <= c.last; i++ {
			want = append(want, sample(i))
		}
		if diff := cmp.Diff(want, read(t, file, c.from, c.to)); diff != "" {
			t.Errorf("Read(%d, %d): -want +got\n%s", c.from, c.to, diff)
		}
	}
}

func TestEveryTextSurvives(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w, err := logarchive.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	var want []logarchive.Line
	for i, text := range []string{"", "\n", `\`, `\n`, "a\r\nb\tc\\", "\x1b[31mred", "ü", strings.Repeat("x\\", 70_000), "\t\t"} {
		l := logarchive.Line{Number: int64(i + 1), AtMs: -1, Attempt: -2, Level: "a\tb", Stage: text, Text: text}
		want = append(want, l)
		if err := w.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, out.Bytes(), 1, 0)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAnyZstdToolReadsIt(t *testing.T) {
	t.Parallel()
	z, err := zstd.NewReader(bytes.NewReader(write(t, 5000)))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var plain bytes.Buffer
	if _, err := z.WriteTo(&plain); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(plain.Bytes(), []byte("\n")); n != 5000 {
		t.Errorf("%d lines, want 5000", n)
	}
}

func TestAppendGoesOn(t *testing.T) {
	t.Parallel()
	marks := []logarchive.Mark{{Writer: "w1", Attempt: 2, Last: 77}}
	old, err := logarchive.Open(t.Context(), logarchive.Memory(write(t, 9000, marks...)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(marks, old.Marks()); diff != "" {
		t.Errorf("marks: -want +got\n%s", diff)
	}
	var out bytes.Buffer
	w, err := logarchive.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(sample(9001)); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(t.Context(), old); err == nil {
		t.Error("Append after a line = nil, want an error")
	}
	if _, err := w.Close(old.Marks()...); err != nil {
		t.Fatal(err)
	}
	if got := read(t, out.Bytes(), 1, 0); len(got) != 9001 || got[9000] != sample(9001) || got[8999] != sample(9000) {
		t.Errorf("%d lines, the last %+v", len(got), got[len(got)-1])
	}
}

func TestEmptyArchive(t *testing.T) {
	t.Parallel()
	if got := read(t, write(t, 0), 1, 0); got != nil {
		t.Errorf("lines = %v, want none", got)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	r, err := logarchive.Open(t.Context(), logarchive.Memory(write(t, 10)))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	if err := r.Read(t.Context(), 1, 0, func(logarchive.Line) error { seen++; return logarchive.ErrStop }); err != nil || seen != 1 {
		t.Errorf("Read = %v after %d lines, want nil after 1", err, seen)
	}
	mine := errors.New("mine")
	if err := r.Read(t.Context(), 1, 0, func(logarchive.Line) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("Read = %v, want %v", err, mine)
	}
}

// counting sees how much is asked for.
type counting struct {
	logarchive.Memory

	asked int
	bytes int64
}

func (c *counting) ReadAt(ctx context.Context, p []byte, offset int64) error {
	c.asked++
	c.bytes += int64(len(p))
	return c.Memory.ReadAt(ctx, p, offset)
}

func TestTheMiddleCostsAFrame(t *testing.T) {
	t.Parallel()
	src := &counting{Memory: write(t, 200_000)}
	r, err := logarchive.Open(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	var got []logarchive.Line
	if err := r.Read(t.Context(), 100_000, 100_009, func(l logarchive.Line) error { got = append(got, l); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 10 || got[0] != sample(100_000) {
		t.Errorf("%d lines from %+v", len(got), got[0])
	}
	if src.asked > 2 || src.bytes > 256<<10 {
		t.Errorf("%d requests for %d bytes of %d, want 2 for little", src.asked, src.bytes, src.Size())
	}
}

func TestADamagedFileIsNoPanic(t *testing.T) {
	t.Parallel()
	file := write(t, 3000, logarchive.Mark{Writer: "w", Attempt: 1, Last: 3000})
	step := 997
	for i := 0; i < len(file); i += step {
		if i > len(file)-600 { // the index
			step = 1
		}
		bad := bytes.Clone(file)
		bad[i] ^= 0x55
		tryRead(t, bad)
	}
	for n := range 100 {
		tryRead(t, file[:len(file)-n-1])
		tryRead(t, file[n+1:])
	}
}

func tryRead(t *testing.T, file []byte) {
	t.Helper()
	r, err := logarchive.Open(t.Context(), logarchive.Memory(file))
	if err != nil {
		if !errors.Is(err, logarchive.ErrCorrupt) {
			t.Errorf("Open = %v, want %v", err, logarchive.ErrCorrupt)
		}
		return
	}
	_ = r.Read(t.Context(), 1, 0, func(logarchive.Line) error { return nil })
}

func FuzzOpen(f *testing.F) {
	f.Add(write(f, 3))
	f.Add(write(f, 2000, logarchive.Mark{Writer: "w", Attempt: 1, Last: 3000}))
	f.Fuzz(func(t *testing.T, file []byte) { tryRead(t, file) })
}
