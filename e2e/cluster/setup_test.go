//go:build e2e

package cluster_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// start runs a cluster for a test. Its programs are those of scripts/cluster-binaries.sh.
func start(t *testing.T, change func(*cluster.Config)) *cluster.Cluster {
	t.Helper()
	bin := os.Getenv("FREEAGENT_CLUSTER_BIN")
	if bin == "" {
		t.Fatal("FREEAGENT_CLUSTER_BIN names no directory with the programs: run make test-e2e")
	}
	dir, err := os.MkdirTemp("", "freeagent-e2e-") //nolint:usetesting // kept if the test fails, for its logs
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL runs as another user and must get to its own
		t.Fatal(err)
	}
	cfg := cluster.Config{Dir: dir, Bin: bin, Workers: 2, Slots: 2, Fake: "slow=300ms,lines=10", TLS: true}
	change(&cfg)
	c, err := cluster.Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("%v; its logs are in %s", err, dir)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop of the cluster: %v", err)
		}
		if t.Failed() {
			t.Logf("logs are in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

// client has no patience beyond what is given: what breaks is an error.
func client(t *testing.T, c *cluster.Cluster, patience time.Duration) *api.Client {
	t.Helper()
	transport, err := tlsfiles.HTTP(c.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	cl, err := api.New(api.Config{BaseURL: c.URL(), Key: c.Key(), Transport: transport, StallTimeout: 20 * time.Second, RetryFor: patience})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// source is a small project.
func source(t *testing.T) *bytes.Reader {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	f, err := z.Create("package.json")
	if err == nil {
		_, err = f.Write([]byte(`{"name":"e2e"}`))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(buf.Bytes())
}
