package databasetest_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

const childEnv = "FREEAGENT_DATABASETEST_CHILD"

// TestClusterDiesWithItsProcess: a test process that is killed leaves neither a server nor its files.
func TestClusterDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	if out := os.Getenv(childEnv); out != "" { // we are the child
		u, err := url.Parse(databasetest.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(out, []byte(u.Query().Get("host")), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getenv("FREEAGENT_TEST_SQLITE_ONLY") == "1" {
		t.Skip("FREEAGENT_TEST_SQLITE_ONLY=1: no PostgreSQL to watch")
	}
	out := filepath.Join(t.TempDir(), "dir")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestClusterDiesWithItsProcess$")
	child.Env = append(os.Environ(), childEnv+"="+out)
	if text, err := child.CombinedOutput(); err == nil || child.ProcessState.Exited() {
		t.Fatalf("the child was not killed: %v\n%s", err, text)
	}
	dir, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := os.ReadFile(filepath.Join(string(dir), "data", "postmaster.pid"))
	gone := func(path string) bool { _, err := os.Stat(path); return os.IsNotExist(err) }
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !gone(string(dir)) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s is still there, postmaster %s", dir, strings.SplitN(string(pid), "\n", 2)[0])
		}
	}
}

func TestNamedBinariesMustBeThere(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		t.Skip("the child only starts a cluster")
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestClusterDiesWithItsProcess$")
	child.Env = append(os.Environ(), childEnv+"="+filepath.Join(t.TempDir(), "x"), "FREEAGENT_PG_BIN=/nowhere", "FREEAGENT_TEST_SQLITE_ONLY=")
	text, err := child.CombinedOutput()
	if err == nil || !strings.Contains(string(text), "FREEAGENT_PG_BIN=/nowhere") {
		t.Errorf("without the named binaries: %v\n%s", err, text)
	}
}
