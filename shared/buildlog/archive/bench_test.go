package archive_test

import (
	"bytes"
	"testing"

	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
)

const million = 1_000_000

func BenchmarkWrite(b *testing.B) {
	lines := make([]logarchive.Line, 100_000)
	plain := int64(0)
	for i := range lines {
		lines[i] = sample(int64(i + 1))
		plain += int64(len(lines[i].Text))
	}
	b.SetBytes(plain)
	for b.Loop() {
		var out bytes.Buffer
		w, err := logarchive.NewWriter(&out)
		if err != nil {
			b.Fatal(err)
		}
		for _, l := range lines {
			if err := w.Write(l); err != nil {
				b.Fatal(err)
			}
		}
		info, err := w.Close()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(plain)/float64(info.Bytes), "ratio")
	}
	b.ReportMetric(float64(len(lines))*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkReadMiddleOfMillion(b *testing.B) {
	file := write(b, million)
	for b.Loop() {
		if got := read(b, file, million/2, million/2+999); len(got) != 1000 {
			b.Fatal(len(got))
		}
	}
}

func BenchmarkReadAll(b *testing.B) {
	file := write(b, million/10)
	for b.Loop() {
		if got := read(b, file, 1, 0); len(got) != million/10 {
			b.Fatal(len(got))
		}
	}
	b.ReportMetric(million/10*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
