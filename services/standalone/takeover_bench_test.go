package standalone_test

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/former/formertest"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/takeover"
)

// BenchmarkTakeOver imports an installation of 2,000 builds with 50 lines, a source and a result each, or as many as
// FREEAGENT_BENCH_BUILDS says (more than 10,000 without files, which are then told as missing), into a server in a process of its own.
// It reports the time of the import, which verifies all of it as well, and the peak memory of both processes.
func BenchmarkTakeOver(b *testing.B) {
	builds := 2000
	if text := os.Getenv("FREEAGENT_BENCH_BUILDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		builds = n
	}
	in := formertest.New(b, formertest.Plan{Builds: builds, Workers: 50, Lines: 50, Snapshots: 10 * builds, Reports: 1000, Files: builds <= 10_000})
	for b.Loop() {
		f := newFarm(b)
		first, took, memory := measured(b, f, in)
		lines := first.Of(takeover.Lines)
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(builds)/took.Seconds(), "builds/s")
		b.ReportMetric(float64(lines.Found), "lines")
		b.ReportMetric(float64(memory)/1024, "MB-import")
		b.ReportMetric(float64(f.peakMemory(b, false))/(1<<20), "MB-server")
		f.stop()
	}
}

// measured runs the import and gives its report, how long it took and its peak memory in KiB.
func measured(b *testing.B, f *farm, in formertest.Installation) (*takeover.Report, time.Duration, int64) {
	b.Helper()
	p := importInto(f, in)
	begun := time.Now()
	r, err := ended(p)
	if err != nil || !r.Verified {
		b.Fatalf("import = %v, %s", err, r.Fault)
	}
	usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		b.Fatal("no figures of the process")
	}
	return r, time.Since(begun), int64(usage.Maxrss)
}
