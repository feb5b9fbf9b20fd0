package process

import (
	"testing"
	"time"
)

func TestParsePS(t *testing.T) {
	t.Parallel()
	out := "  501  1024   0:01.50\n 502 2048 1:02:03.25\n  503 10 2-01:00:00\nnonsense\n504 x 0:00\n505 1 0:0x\n"
	want := Usage{CPU: 1500*time.Millisecond + time.Hour + 2*time.Minute + 3250*time.Millisecond + 49*time.Hour, Memory: (1024 + 2048 + 10) << 10, Processes: 3}
	if got := parsePS(out); got != want {
		t.Errorf("parsePS = %+v, want %+v", got, want)
	}
}
