//go:build e2e

package chaos_test

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/chaos"
)

// TestStorm is the short run of `make chaos`: a minute of faults, and no promise broken.
func TestStorm(t *testing.T) {
	bin := os.Getenv("FREEAGENT_CLUSTER_BIN")
	if bin == "" {
		t.Fatal("FREEAGENT_CLUSTER_BIN names no directory with the programs: run make test-e2e")
	}
	dir, err := os.MkdirTemp("", "freeagent-storm-") //nolint:usetesting // kept if the test fails, for its logs
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL runs as another user and must get to its own
		t.Fatal(err)
	}
	plan := chaos.DefaultPlan()
	plan.Cluster.Dir, plan.Cluster.Bin = dir, bin
	plan.Builds, plan.For, plan.Seed = 60, time.Minute, uint64(time.Now().UnixNano())
	plan.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	r, err := chaos.Run(t.Context(), plan)
	if err != nil {
		t.Fatalf("seed %d: %v; logs are in %s", plan.Seed, err, dir)
	}
	t.Logf("seed %d: %d of %d submits acknowledged, %d faults, builds %v", r.Seed, r.Acknowledged, r.Submits, len(r.Faults), r.Ends)
	for _, v := range r.Violations {
		t.Error(v)
	}
	if len(r.Faults) == 0 || r.Acknowledged < plan.Builds/2 {
		t.Error("too little happened to show anything")
	}
	if t.Failed() {
		t.Logf("logs are in %s", dir)
	} else if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}
