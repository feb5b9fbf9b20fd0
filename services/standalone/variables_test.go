package standalone_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/settings"
)

var (
	// ourVariable is one as Go and the scripts name them: in quotes, in a tag, or with a dollar sign.
	ourVariable = regexp.MustCompile(`["$:]\{?"?(FREEAGENT_[A-Z0-9_]+)\b`)
	secretTag   = regexp.MustCompile(`env:"(FREEAGENT_[A-Z0-9_]+)[^"]*"( flag:"[^"]*")? secret:"true"`)
)

// TestVariablesAreKnown holds the list by which services refuse misspelled variables against what the sources read: one that
// is missing there would be refused, one that nobody reads would be let through.
func TestVariablesAreKnown(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") && path != root {
			return fs.SkipDir
		}
		if ext := filepath.Ext(path); ext != ".go" && ext != ".sh" || strings.HasPrefix(path, filepath.Join(root, "shared", "daemon")) || strings.HasPrefix(path, filepath.Join(root, "shared", "settings")) {
			return nil
		}
		data, err := os.ReadFile(path)
		for _, m := range ourVariable.FindAllSubmatch(data, -1) {
			read[string(m[1])] = true
		}
		for _, m := range secretTag.FindAllSubmatch(data, -1) {
			read[string(m[1])+"_FILE"] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Those of package daemon itself, which names wrong ones in its tests.
	for _, name := range []string{
		"CONFIG_FILE", "LOG_FORMAT", "LOG_LEVEL", "DATABASE_URL_FILE", "NATS_USER", "NATS_PASSWORD_FILE", "NATS_CREDS_FILE",
		"DATABASE_MAX_CONNS", "NATS_CA_FILE", "NATS_CERT_FILE", "NATS_KEY_FILE", "DRAIN_DELAY",
	} {
		read["FREEAGENT_"+name] = true
	}
	for _, r := range settings.Renamed() {
		delete(read, r.Old) // in the tests of old names
	}
	known := settings.Variables()
	for name := range read {
		if !slices.Contains(known, name) {
			t.Errorf("%s is read, and settings.Variables does not know it", name)
		}
	}
	for _, name := range known {
		if !read[name] {
			t.Errorf("settings.Variables knows %s, which nothing reads", name)
		}
	}
}
