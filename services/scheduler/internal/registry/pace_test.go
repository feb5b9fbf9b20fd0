package registry

import "testing"

func TestPace(t *testing.T) {
	t.Parallel()
	for workers, beat := range map[int64]int32{0: 5, 1: 5, 250: 5, 251: 10, 500: 10, 10_000: 320, 30_000: 640, 1 << 40: 640} {
		p := paceOf(workers)
		if p.GetBeatSeconds() != beat {
			t.Errorf("of %d workers each beats every %d s, want %d", workers, p.GetBeatSeconds(), beat)
		}
		if late := p.GetTtlSeconds() - p.GetBeatSeconds(); late < min(2*beat, 30) {
			t.Errorf("of %d workers a beat may be %d s late", workers, late)
		}
		if p.GetAskSeconds() < 10 || p.GetSyncSeconds() < 120 {
			t.Errorf("of %d workers each asks every %d s and syncs every %d s", workers, p.GetAskSeconds(), p.GetSyncSeconds())
		}
	}
}
