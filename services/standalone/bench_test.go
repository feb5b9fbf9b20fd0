package standalone_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// BenchmarkSubmitToClaim is the time from a submit's answer to the worker's claim on an idle system: one build at a time, by
// the clock of the one machine. The scheduler keeps whole milliseconds, so a figure is up to 1 ms too small.
func BenchmarkSubmitToClaim(b *testing.B) {
	s := start(b, config(b))
	s.fleet(1, fake.Options{})
	source := project(b).Bytes()
	s.submitAndFinish(b, source) // connections and caches are warm after it
	var took []float64
	for b.Loop() {
		took = append(took, s.submitAndFinish(b, source))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "p50-ms")
	b.ReportMetric(took[len(took)*99/100], "p99-ms")
	b.ReportMetric(took[len(took)-1], "max-ms")
}

// submitAndFinish returns the milliseconds from the answer to the claim, and waits for the build's end.
func (s *server) submitAndFinish(tb testing.TB, source []byte) float64 {
	tb.Helper()
	c := s.client()
	sub, err := c.Builds.Submit(tb.Context(), api.Submit{Platform: "android", Source: bytes.NewReader(source)})
	answered := time.Now()
	if err != nil {
		tb.Fatal(err)
	}
	done, err := c.Builds.FollowLog(tb.Context(), sub.ID, func(api.LogLine) error { return nil })
	if err != nil || done.Status != "completed" {
		tb.Fatalf("build = %+v, %v", done, err)
	}
	claimed, err := time.Parse(time.RFC3339, done.AssignedAt)
	if err != nil {
		tb.Fatal(err)
	}
	return max(0, float64(claimed.Sub(answered).Microseconds())/1000)
}

// BenchmarkUpload sends a source of 490 MiB (the limit is 500) to a server in a process of its own, alone and four at once,
// and reports by how much that process's peak memory grew.
func BenchmarkUpload(b *testing.B) {
	const size = 490 << 20
	for _, atOnce := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d-at-once", atOnce), func(b *testing.B) {
			f := newFarm(b)
			f.submit() // what is set up once is not growth
			before := f.peakMemory(b, true)
			b.SetBytes(int64(atOnce) * size)
			for b.Loop() {
				var uploads sync.WaitGroup
				for range atOnce {
					uploads.Go(func() {
						if _, err := f.client().Builds.Submit(b.Context(), api.Submit{Platform: "ios", Source: bigZip(size)}); err != nil {
							b.Error(err)
						}
					})
				}
				uploads.Wait()
			}
			b.ReportMetric(float64(f.peakMemory(b, false)-before)/(1<<20), "MiB-growth")
			b.ReportMetric(float64(before)/(1<<20), "MiB-idle")
		})
	}
}

// peakMemory is the server's VmHWM in bytes, as Linux counts it since the last reset.
func (f *farm) peakMemory(tb testing.TB, reset bool) int64 {
	tb.Helper()
	proc := fmt.Sprintf("/proc/%d/", f.cmd.Process.Pid)
	if reset {
		if err := os.WriteFile(proc+"clear_refs", []byte("5"), 0o600); err != nil {
			tb.Skipf("peak memory can be read on Linux only: %v", err)
		}
	}
	data, err := os.ReadFile(proc + "status")
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return kib << 10
}

// bigZip streams a zip with one stored entry of size bytes.
func bigZip(size int64) io.Reader {
	pr, pw := io.Pipe()
	go func() {
		w := zip.NewWriter(pw)
		f, err := w.CreateHeader(&zip.FileHeader{Name: "package.json", Method: zip.Store})
		if err == nil {
			_, err = io.CopyN(f, zeros{}, size)
		}
		if err == nil {
			err = w.Close()
		}
		pw.CloseWithError(err)
	}()
	return pr
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// BenchmarkColdStart is from exec to the ready file, on a data directory that is there already.
func BenchmarkColdStart(b *testing.B) {
	f := newFarm(b)
	f.stop()
	for b.Loop() {
		f.up()
		f.stop()
	}
}
