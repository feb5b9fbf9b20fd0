package secrets_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

func options(t *testing.T) secrets.Options {
	t.Helper()
	return secrets.Options{
		Dir: filepath.Join(t.TempDir(), "secrets"), Routes: []string{"nats-1:6222", "nats-2:6222"},
		Database: "postgres://freeagent@postgres:5432/freeagent?sslmode=disable",
	}
}

func read(t *testing.T, o secrets.Options, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(o.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func modes(t *testing.T, o secrets.Options) map[fs.FileMode]int {
	t.Helper()
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[fs.FileMode]int{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		counts[info.Mode().Perm()]++
	}
	return counts
}

// TestMadeOnce: what is there stays; what was lost is made again; what is put together follows its parts.
func TestMadeOnce(t *testing.T) {
	t.Parallel()
	o := options(t)
	written, err := secrets.Make(o)
	if err != nil || len(written) != 14 {
		t.Fatalf("Make = %q, %v, want 14 files", written, err)
	}
	if info, err := os.Stat(o.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory = %v, %v, want 0700", info.Mode(), err)
	}
	if got := modes(t, o); got[0o600] != 14 || len(got) != 1 {
		t.Errorf("modes = %v, want 0600 for all", got)
	}
	master := read(t, o, secrets.MasterKey)
	if again, err := secrets.Make(o); err != nil || len(again) > 0 {
		t.Errorf("Make again = %q, %v, want nothing written", again, err)
	}
	if err := os.Remove(filepath.Join(o.Dir, secrets.DatabasePassword)); err != nil {
		t.Fatal(err)
	}
	o.Routes = append(o.Routes, "nats-3:6222")
	again, err := secrets.Make(o)
	slices.Sort(again)
	if want := []string{secrets.BusConfig, secrets.DatabasePassword, secrets.DatabaseURL}; err != nil || !slices.Equal(again, want) {
		t.Errorf("Make = %q, %v, want %q written", again, err, want)
	}
	if got := read(t, o, secrets.DatabaseURL); !strings.Contains(got, read(t, o, secrets.DatabasePassword)+"@postgres:5432/freeagent?sslmode=disable") {
		t.Errorf("URL of the database = %q", got)
	}
	if read(t, o, secrets.MasterKey) != master {
		t.Error("the master key was replaced")
	}
}

func TestContainersMayRead(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Containers = true
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Make(o); err != nil {
		t.Fatal(err)
	}
	if got := modes(t, o); got[0o444] != 14 || len(got) != 1 {
		t.Errorf("modes = %v, want 0444 for all", got)
	}
	if info, err := os.Stat(o.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory = %v, %v, want it closed", info.Mode(), err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	_, err := secrets.Make(secrets.Options{Routes: []string{"nats-1"}, Database: "postgres://u:hush@h/d"})
	for _, want := range []string{"no directory", `"nats-1"`, "must not be in the URL"} {
		if err == nil || !errors.Is(err, secrets.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("Make = %v, want %q in it", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "hush") {
		t.Errorf("a password is in %v", err)
	}
	o := options(t)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, secrets.MasterKey), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if written, err := secrets.Make(o); err == nil || !strings.Contains(err.Error(), "master-key is empty") {
		t.Errorf("Make over an empty key = %q, %v, want it refused", written, err)
	}
}
