package standalone_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacyimport"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacytest"
)

// BenchmarkImport imports an installation of 2,000 builds with 50 lines, a source and a result each, into a server in a process of its
// own. FREEAGENT_BENCH_BUILDS and FREEAGENT_BENCH_LINES (of each build) say otherwise; more than 10,000 builds have no files, which
// are then told as missing. It reports the time of the import, which verifies all of it as well, and the peak memory of both processes.
func BenchmarkImport(b *testing.B) {
	builds, lines := number(b, "FREEAGENT_BENCH_BUILDS", 2000), number(b, "FREEAGENT_BENCH_LINES", 50)
	in := legacytest.New(b, legacytest.Plan{
		Builds: builds, Workers: 50, Lines: lines, Snapshots: 10 * builds, Reports: 1000, Files: builds <= 10_000,
	})
	for b.Loop() {
		f := newFarm(b)
		first, took, memory := measured(b, f, in)
		brought := first.Of(legacyimport.Lines)
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(builds)/took.Seconds(), "builds/s")
		b.ReportMetric(float64(brought.Found), "lines")
		b.ReportMetric(float64(memory)/1024, "MB-import")
		b.ReportMetric(float64(f.peakMemory(b, false))/(1<<20), "MB-server")
		f.stop()
	}
}

// measured runs the import and gives its report, how long it took and its peak memory in KiB.
func measured(b *testing.B, f *farm, in legacytest.Installation) (*legacyimport.Report, time.Duration, int64) {
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
	return r, time.Since(begun), usage.Maxrss
}
