package ingest_test

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms are the packages of the gateway and which of them each may import. No two APIs know each other, and what everybody needs
// knows nobody.
func rooms() map[string][]string {
	return map[string][]string{
		"httpapi": {}, "store": {}, "pages": {}, "signing": {},
		"farm":    {"httpapi"},
		"logs":    {"httpapi"},
		"webhook": {"httpapi", "store"},
		"objects": {"farm", "httpapi"},
		"auth":    {"httpapi", "pages", "store"},
		"legacy":  {"farm", "httpapi", "store"},
		"submit":  {"auth", "farm", "httpapi", "objects", "signing", "store"},
		"v1":      {"auth", "farm", "httpapi", "logs", "objects", "signing", "store", "submit"},
		"v2":      {"auth", "farm", "httpapi", "legacy", "logs", "objects", "pages", "store", "submit", "webhook"},
		"command": {}, // it makes a gateway, through the root
	}
}

// TestRoomsPointOneWay holds the imports of the gateway's packages against the plan.
func TestRoomsPointOneWay(t *testing.T) {
	t.Parallel()
	const prefix = "github.com/expo-free-agent/freeagent/services/ingest/internal/"
	entries, err := os.ReadDir("internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		room := e.Name()
		allowed, known := rooms()[room]
		if !known {
			t.Errorf("internal/%s is not in the plan of rooms: say what it may import", room)
			continue
		}
		files, err := filepath.Glob(filepath.Join("internal", room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				name, _ := strconv.Unquote(spec.Path.Value)
				if other, ours := strings.CutPrefix(name, prefix); ours && other != room && !slices.Contains(allowed, other) {
					t.Errorf("%s imports internal/%s", path, other)
				}
			}
		}
	}
}
