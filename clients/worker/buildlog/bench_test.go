package buildlog_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
)

// output is what a build prints, some 100,000 lines of it.
func output() []byte {
	var b strings.Builder
	for i := range 100_000 {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "> Task :react-native-screens:compile%dKotlin UP-TO-DATE\n", i)
		case 1:
			fmt.Fprintf(&b, "\x1b[36mCompileC\x1b[0m /Users/ci/build/Objects-normal/arm64/RCTView%d.o RCTView%d.m normal arm64 objective-c\n", i, i)
		case 2:
			fmt.Fprintf(&b, "npm warn deprecated inflight@1.0.%d: This module is not supported, and leaks memory\n", i)
		case 3:
			fmt.Fprintf(&b, "    at Object.<anonymous> (/app/node_modules/metro/src/lib/file-%d.js:12:7)\n", i)
		default:
			fmt.Fprintf(&b, "[%d/100000] Bundling node_modules/expo-router/entry.js with the platform ios https://example.com/a?b=c\n", i)
		}
	}
	return []byte(b.String())
}

func secrets(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("s3cret-%d-%x", i, i*7919+1_000_003))
	}
	return all
}

func BenchmarkMask(b *testing.B) {
	text := output()
	lines := strings.Split(string(text), "\n")
	for _, n := range []int{0, 20, 200} {
		b.Run(fmt.Sprint(n, "-secrets"), func(b *testing.B) {
			mask := buildlog.NewMask(secrets(n))
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for _, l := range lines {
					mask.Text(l)
				}
			}
		})
	}
}

func BenchmarkLevel(b *testing.B) {
	lines := strings.Split(string(output()), "\n")
	for b.Loop() {
		for _, l := range lines {
			buildlog.Level(l)
		}
	}
	b.ReportMetric(float64(len(lines))*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkToTheStream is everything between a build's pipe and the stream's acknowledgement.
func BenchmarkToTheStream(b *testing.B) {
	srv := bustest.Start(b)
	js := srv.JetStream(srv.Connect("worker"))
	text := output()
	mask := buildlog.NewMask(secrets(20))
	lines := 0
	for b.Loop() {
		s := buildlog.New(buildlog.Config{
			WorkerID: "w1", BuildID: build.NewID(), Attempt: 1, Log: slog.New(slog.DiscardHandler), Publish: func(ctx context.Context, m *nats.Msg) error { _, err := js.PublishMsg(ctx, m); return err },
		})
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		l := buildlog.NewLines(mask, func(line string) { lines++; s.Line(ctx, buildlog.Level(line), "compile", line) })
		for rest := text; len(rest) > 0; {
			n := min(len(rest), 32<<10)
			if _, err := l.Write(rest[:n]); err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
		l.Close()
		if err := s.Flush(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
		<-done
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}
