package buildlog_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// limited sends n lines of 10 bytes through a shipper with limits, and gives what is stored after each flush.
func limited(t *testing.T, l buildlog.Limits, flushes ...int) (all []string) {
	t.Helper()
	js, publish := publisher(t, bustest.Start(t))
	id := build.NewID()
	s := buildlog.New(buildlog.Config{WorkerID: "w1", BuildID: id, Attempt: 1, Publish: publish, Limits: l, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	n := 0
	for _, more := range flushes {
		for range more {
			n++
			s.Line(ctx, "info", "compile", fmt.Sprintf("line %05d", n))
		}
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return stored(t, js, id)
}

func count(from, to int) (lines []string) {
	for i := from; i <= to; i++ {
		lines = append(lines, fmt.Sprintf("line %05d", i))
	}
	return lines
}

func join(parts ...[]string) (all []string) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestALogBeyondItsLimitKeepsItsEnd(t *testing.T) {
	t.Parallel()
	notice := []string{"✂ This log has reached its limit (100 lines or 200 MB). From here on only its last 5 lines follow, when the build ends."}
	cut := func(text string) []string {
		return []string{"✂ " + text + " left out here: the log had reached its limit (100 lines or 200 MB)."}
	}
	limits := buildlog.Limits{Lines: 100, Last: 5}
	for name, tt := range map[string]struct {
		limits  buildlog.Limits
		flushes []int
		want    []string
	}{
		"below":          {limits, []int{100}, count(1, 100)},
		"one beyond":     {limits, []int{101}, join(count(1, 100), notice, count(101, 101))},
		"as many beyond": {limits, []int{105}, join(count(1, 100), notice, count(101, 105))},
		"more beyond":    {limits, []int{3000}, join(count(1, 100), notice, cut("2,895 lines (28.3 kB)"), count(2996, 3000))},
		"flushed twice":  {limits, []int{200, 1, 10}, join(count(1, 100), notice, cut("95 lines (950 bytes)"), count(196, 201), cut("5 lines (50 bytes)"), count(207, 211))},
		"by bytes": {buildlog.Limits{Bytes: 1 << 10, Last: 1}, []int{200}, join(count(1, 102),
			[]string{"✂ This log has reached its limit (2,000,000 lines or 1 kB). From here on only its last 1 line follow, when the build ends."},
			[]string{"✂ 97 lines (970 bytes) left out here: the log had reached its limit (2,000,000 lines or 1 kB)."}, count(200, 200))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, limited(t, tt.limits, tt.flushes...)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestLastLinesAreBoundedInMemory: long lines are fewer than the limit says.
func TestLastLinesAreBoundedInMemory(t *testing.T) {
	t.Parallel()
	js, publish := publisher(t, bustest.Start(t))
	id := build.NewID()
	s := buildlog.New(buildlog.Config{
		WorkerID: "w1", BuildID: id, Attempt: 1, Publish: publish, Limits: buildlog.Limits{Lines: 1}, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for i := range 1001 {
		s.Line(ctx, "info", "", fmt.Sprint(i)+strings.Repeat("x", 16<<10))
	}
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	lines := stored(t, js, id)
	if n := len(lines); n < 50 || n > 70 || !strings.HasPrefix(lines[n-1], "1000x") || !strings.HasPrefix(lines[2], "✂ ") {
		t.Errorf("%d lines, the last %.10q, the mark %.60q", n, lines[n-1], lines[2])
	}
}
