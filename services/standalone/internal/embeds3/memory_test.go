package embeds3_test

import (
	"io"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/objects/objectstest"
)

// repeat yields n bytes of block, over and over.
type repeat struct {
	block []byte
	n     int64
	off   int
}

func (r *repeat) Read(b []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	m := copy(b[:min(int64(len(b)), r.n)], r.block[r.off:])
	r.off = (r.off + m) % len(r.block)
	r.n -= int64(m)
	return m, nil
}

// BenchmarkPut500MB streams 500 MB of unknown size into an endpoint in another
// process. It reports by how much the peak memory of each side grew:
//
//	go test -run - -bench Put500MB -benchtime 1x ./internal/embeds3
func BenchmarkPut500MB(b *testing.B) {
	const size = 500 << 20
	idle := startChild(b, b.TempDir(), "")
	idle.store("bench")
	base := idle.stop().PeakRSS
	block := objectstest.Bytes(1 << 20)
	own := peakRSS()
	b.SetBytes(size)
	for b.Loop() {
		c := startChild(b, b.TempDir(), "")
		if _, err := c.store("bench").Put(b.Context(), "k", &repeat{block: block, n: size}, -1, 0); err != nil {
			b.Fatalf("Put = %v", err)
		}
		b.ReportMetric(float64(c.stop().PeakRSS-base)/(1<<20), "server-MB")
	}
	b.ReportMetric(float64(peakRSS()-own)/(1<<20), "client-MB")
}
