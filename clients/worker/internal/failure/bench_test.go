package failure_test

import (
	"fmt"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/failure"
)

// BenchmarkLine measures what a Finder adds to each line of a log.
func BenchmarkLine(b *testing.B) {
	lines := make([]string, 10_000)
	for i := range lines {
		lines[i] = []string{
			fmt.Sprintf("> Task :react-native-screens:compile%dKotlin UP-TO-DATE", i),
			fmt.Sprintf("\x1b[36mCompileC\x1b[0m /Users/ci/build/Objects-normal/arm64/RCTView%d.o RCTView%d.m normal arm64 objective-c", i, i),
			fmt.Sprintf("npm warn deprecated inflight@1.0.%d: This module is not supported, and leaks memory", i),
			fmt.Sprintf("    at Object.<anonymous> (/app/node_modules/metro/src/lib/file-%d.js:12:7)", i),
			fmt.Sprintf("[%d/100000] Bundling node_modules/expo-router/entry.js with the platform ios https://example.com/a?b=c", i),
		}[i%5]
	}
	f := failure.NewFinder("/builds/x/project")
	n := 0
	for b.Loop() {
		f.Line("info", lines[n%len(lines)])
		n++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
