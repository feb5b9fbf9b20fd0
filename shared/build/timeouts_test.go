package build

import (
	"maps"
	"testing"
	"time"
)

func TestHeartbeatTimeouts(t *testing.T) {
	t.Parallel()
	before := HeartbeatTimeouts{StageInstall: time.Minute, "ours": 2 * time.Minute}
	for text, want := range map[string]HeartbeatTimeouts{
		"pods=90s":               {StageInstall: time.Minute, "ours": 2 * time.Minute, StagePods: 90 * time.Second},
		"install=3m, ours=1h":    {StageInstall: 3 * time.Minute, "ours": time.Hour},
		"export=1m,all=4m":       withAll(HeartbeatTimeouts{StageExport: time.Minute, "ours": 2 * time.Minute}, 4*time.Minute),
		"install=1m,install=10m": {StageInstall: 10 * time.Minute, "ours": 2 * time.Minute},
	} {
		got := maps.Clone(before)
		err := got.UnmarshalText([]byte(text))
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q = %v, %v, want %v", text, got, err, want)
		}
		again := HeartbeatTimeouts{}
		if written, err := got.MarshalText(); err != nil || again.UnmarshalText(written) != nil || !maps.Equal(again, want) {
			t.Errorf("%q is written as %q, %v, and read as %v", text, written, err, again)
		}
	}
	for _, text := range []string{"install", "install=", "=5m", "install=soon", "install=5m,", "5m"} {
		got := maps.Clone(before)
		if err := got.UnmarshalText([]byte(text)); err == nil || !maps.Equal(got, before) {
			t.Errorf("%q = %v, %v, want it refused", text, got, err)
		}
	}
	for _, d := range []time.Duration{0, 999 * time.Millisecond, 1500 * time.Millisecond, time.Hour + time.Second} {
		if err := (HeartbeatTimeouts{StageInstall: d}).Validate(); err == nil {
			t.Errorf("%s is a valid heartbeat timeout", d)
		}
	}
	if err := HeartbeatTimeouts(DefaultTTLs()).Validate(); err != nil {
		t.Error(err)
	}
}

// withAll sets the stages that are not in t.
func withAll(t HeartbeatTimeouts, d time.Duration) HeartbeatTimeouts {
	for _, stage := range Stages() {
		if _, ok := t[stage]; !ok {
			t[stage] = d
		}
	}
	return t
}
