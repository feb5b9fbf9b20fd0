package buildcache_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/buildcache"
)

// TestImport: an entry of the trusted branches becomes theirs here, too, and another one the branch's own. A build opens only what its own scope has.
func TestImport(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "caches")
	s := buildcache.New(buildcache.Config{Dir: dir, Trusted: []string{"main"}})
	main, pr, other := buildcache.Scope{Project: "p", Branch: "main"}, buildcache.Scope{Project: "p", Branch: "pr"}, buildcache.Scope{Project: "p", Branch: "other"}
	add := func(c buildcache.Scope, key string, trusted, there bool, fail error) (bool, error) {
		return s.Import(t.Context(), c, "install", key, func(_ context.Context, to *os.File) (bool, bool, error) {
			_, err := to.WriteString("packed for " + key)
			return trusted, there, errors.Join(err, fail)
		})
	}
	for key, trusted := range map[string]bool{"trusted": true, "own": false} {
		if ok, err := add(pr, key, trusted, true, nil); !ok || err != nil {
			t.Errorf("Import of %s = %v, %v", key, ok, err)
		}
	}
	errBroken := errors.New("broken")
	if ok, err := add(pr, "broken", true, true, errBroken); ok || !errors.Is(err, errBroken) {
		t.Errorf("Import of a broken one = %v, %v", ok, err)
	}
	if ok, err := add(pr, "missing", true, false, nil); ok || err != nil {
		t.Errorf("Import of a missing one = %v, %v", ok, err)
	}
	for _, tt := range []struct {
		scope      buildcache.Scope
		key        string
		has, opens bool
	}{
		{main, "trusted", true, true}, {pr, "trusted", true, false}, {other, "trusted", true, false},
		{main, "own", false, false}, {pr, "own", true, true}, {other, "own", false, false},
		{pr, "broken", false, false}, {pr, "missing", false, false},
	} {
		if got := s.Has(tt.scope, "install", tt.key); got != tt.has {
			t.Errorf("%s has %s: %v, want %v", tt.scope.Branch, tt.key, got, tt.has)
		}
		f, err := s.Open(tt.scope, "install", tt.key)
		if (err == nil) != tt.opens {
			t.Errorf("%s opens %s: %v, want %v", tt.scope.Branch, tt.key, err, tt.opens)
		}
		if err == nil {
			if data, err := io.ReadAll(f); err != nil || string(data) != "packed for "+tt.key {
				t.Errorf("%s reads %q, %v", tt.scope.Branch, data, err)
			}
			f.Close()
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", ".keep-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
