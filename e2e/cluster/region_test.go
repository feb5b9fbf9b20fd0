//go:build e2e

package cluster_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestRegionOutlivesItsLine cuts the line of a region while its worker builds. The build goes on there, is nobody else's, and is
// told of with nothing missing when the line is back; so is the next.
func TestRegionOutlivesItsLine(t *testing.T) {
	c := start(t, func(cfg *cluster.Config) { cfg.Fake = "slow=4s,lines=40" })
	r, err := c.AddRegion(t.Context(), "berlin", 1)
	if err != nil {
		t.Fatal(err)
	}
	cl := client(t, c, time.Minute)
	submit := func() string {
		t.Helper()
		sub, err := cl.Builds.Submit(t.Context(), api.Submit{Platform: "ios", Pool: "berlin", Source: source(t)})
		if err != nil {
			t.Fatal(err)
		}
		return sub.ID
	}
	first, second := submit(), submit()
	await(t, cl, first, func(b api.Build) bool { return b.Status == "building" && b.Stage != "prepare" })
	r.Cut()
	cutAt := time.Now()
	// Longer than the build takes: whatever it has to say, it says into a dead line.
	await(t, cl, first, func(b api.Build) bool { return b.Final() || time.Since(cutAt) > 15*time.Second })
	if b, err := cl.Builds.Get(t.Context(), first); err != nil || b.Final() {
		t.Fatalf("build = %s, %v, want it unfinished as far as the farm knows", b.Status, err)
	}
	r.Heal()
	for _, id := range []string{first, second} {
		b := await(t, cl, id, api.Build.Final)
		if b.Status != "completed" || len(b.Attempts) != 1 {
			t.Fatalf("build = %s %q, attempts %+v, want it completed by the first", b.Status, b.Error, b.Attempts)
		}
		if err := cl.Builds.DownloadResult(t.Context(), b, io.Discard, 0, nil, nil); err != nil {
			t.Error(err)
		}
		if got := steps(t, cl, id); got != 2*40 {
			t.Errorf("log of %s has %d numbered lines, want 80", id, got)
		}
	}
	t.Logf("first build done %s after the line was cut", time.Since(cutAt).Round(time.Second))
}

// await polls until the build is as wanted.
func await(t *testing.T, cl *api.Client, id string, want func(api.Build) bool) (b api.Build) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-tick.C {
		var err error
		if b, err = cl.Builds.Get(t.Context(), id); err == nil && want(b) {
			return b
		}
	}
	t.Fatalf("build %s is %s in stage %s, attempts %+v", id, b.Status, b.Stage, b.Attempts)
	return b
}

// steps counts the lines that the fake executor numbers.
func steps(t *testing.T, cl *api.Client, id string) (n int) {
	t.Helper()
	err := cl.Builds.ReadLog(t.Context(), id, func(l api.LogLine) error {
		if strings.HasPrefix(l.Text, "fake ") && strings.Contains(l.Text, ": step ") {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
