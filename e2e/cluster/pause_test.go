//go:build e2e

package cluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// pauseFor is longer than a lease. A lease of half a minute is a quarter of the shortest default; a worker whose node of the bus hangs
// needs some 20 s on a busy machine to notice and to find another.
const pauseFor = 45 * time.Second

// building submits as many builds as there are slots, each of which outlasts the pause, and waits until all run.
func building(t *testing.T, c *api.Client, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		sub, err := c.Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: source(t)})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = sub.ID
	}
	for _, id := range ids {
		eventually(t, id+" is being built", func() bool {
			b, err := c.Builds.Get(t.Context(), id)
			return err == nil && b.Status == "building"
		})
	}
	return ids
}

// oneAttempt wants each build completed by its first attempt.
func oneAttempt(t *testing.T, c *api.Client, ids []string) {
	t.Helper()
	for _, id := range ids {
		var b api.Build
		eventually(t, id+" ends", func() bool {
			var err error
			b, err = c.Builds.Get(t.Context(), id)
			return err == nil && b.Final()
		})
		if b.Status != "completed" || len(b.Attempts) != 1 {
			t.Errorf("build %s is %s after attempts %+v, want completed by the first", id, b.Status, b.Attempts)
		}
	}
}

// TestPausedPartsLoseNobody stops a part of the installation for longer than the leases. Leases live in the bus and are judged by
// monitors; no worker did anything wrong, so no attempt is lost.
func TestPausedPartsLoseNobody(t *testing.T) {
	t.Run("three nodes", func(t *testing.T) {
		c := withShortLeases(t, 3)
		t.Run("all monitors", func(t *testing.T) { losesNobody(t, c, "monitor-") })
		t.Run("one node of the bus", func(t *testing.T) { losesNobody(t, c, "nats-1") })
		t.Run("all nodes of the bus", func(t *testing.T) { losesNobody(t, c, "nats-") })
	})
	t.Run("one node", func(t *testing.T) { losesNobody(t, withShortLeases(t, 1), "nats-") })
}

// withShortLeases starts a cluster with so many nodes of the bus, whose builds take a minute.
func withShortLeases(t *testing.T, nodes int) *cluster.Cluster {
	t.Helper()
	return start(t, func(cfg *cluster.Config) {
		cfg.Nodes, cfg.Fake = nodes, "slow=15s,lines=20"
		cfg.Services = []string{"FREEAGENT_HEARTBEAT_TIMEOUTS=prepare=30s,install=30s,export=30s,upload=30s"}
	})
}

// losesNobody pauses the processes whose names begin so while builds run, and wants these completed by their first attempts.
func losesNobody(t *testing.T, c *cluster.Cluster, prefix string) {
	t.Helper()
	patient := client(t, c, 2*time.Minute)
	ids := building(t, patient, 4)
	each := func(do func(*cluster.Process) error) {
		for _, p := range c.Processes() {
			if !strings.HasPrefix(p.Name, prefix) {
				continue
			}
			if err := do(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	each((*cluster.Process).Pause)
	<-time.After(pauseFor) // the length of the pause is what is tried
	each((*cluster.Process).Resume)
	oneAttempt(t, patient, ids)
}
