package worker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
)

// described is an executor that says what it depends on.
type described struct {
	runtime.Executor

	parts []string
}

func (d described) Describe(context.Context) []string { return d.parts }

// TestMachineDigest: it is the same as long as the machine is, tells machines apart, and cannot be computed without the worker's key.
func TestMachineDigest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	of := func(dir string, parts ...string) string {
		t.Helper()
		got, err := machineDigest(t.Context(), dir, described{parts: parts})
		if err != nil || len(got) != 64 {
			t.Fatalf("machineDigest = %q, %v", got, err)
		}
		return got
	}
	first := of(dir, "PIN=1234", "node 20")
	if again := of(dir, "PIN=1234", "node 20"); again != first {
		t.Error("the digest changes though the machine does not")
	}
	for _, other := range [][]string{{"PIN=1235", "node 20"}, {"PIN=1234", "node 22"}, {"PIN=1234node 20"}, {"PIN=1234", "node 2", "0"}} {
		if of(dir, other...) == first {
			t.Errorf("%q has the digest of another machine", other)
		}
	}
	if of(t.TempDir(), "PIN=1234", "node 20") == first {
		t.Error("another worker has the same digest: a short secret could be guessed")
	}
	info, err := os.Stat(filepath.Join(dir, "machine.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has the mode %v, %v, want 0600", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "machine.key"), []byte(strings.Repeat("x", 5)), 0o600); err != nil {
		t.Fatal(err)
	}
	if of(dir, "PIN=1234", "node 20") == first {
		t.Error("a damaged key is used")
	}
	if got, err := machineDigest(t.Context(), dir, nil); got != "" || err != nil {
		t.Errorf("machineDigest of an executor that does not say = %q, %v, want none", got, err)
	}
}
