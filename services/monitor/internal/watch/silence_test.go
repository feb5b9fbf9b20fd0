package watch

import (
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/monitor/internal/store"
)

func TestAllowedSilenceIsOfTheLongest(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration, n float64) store.Silence {
		return store.Silence{Bucket: SilenceBucket(d), Count: n}
	}
	for name, c := range map[string]struct {
		all         []store.Silence
		least, most time.Duration
	}{
		"nothing known":    {nil, 0, 0},
		"too little known": {[]store.Silence{at(time.Minute, 99)}, 0, 0},
		"all alike":        {[]store.Silence{at(time.Second, 1000)}, 3 * time.Second, 3600 * time.Millisecond},
		"one in a hundred": {[]store.Silence{at(time.Second, 99), at(time.Hour, 1)}, 3 * time.Second, 3600 * time.Millisecond},
		"two in a hundred": {[]store.Silence{at(time.Second, 98), at(time.Minute, 2)}, 3 * time.Minute, 216 * time.Second},
	} {
		if got := AllowedSilence(c.all); got < c.least || got > c.most {
			t.Errorf("%s: allowed silence = %s, want %s to %s", name, got, c.least, c.most)
		}
	}
}
