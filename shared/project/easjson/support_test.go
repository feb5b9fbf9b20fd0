package easjson_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/easjson"
)

var update = flag.Bool("update", false, "write the table of docs/eas.md anew")

// Every key that Expo's schema has is in the table, and no other.
func TestEveryKeyIsInTheTable(t *testing.T) {
	t.Parallel()
	got := map[easjson.Section][]string{}
	for _, k := range easjson.Keys() {
		got[k.Section] = append(got[k.Section], k.Name)
		if !strings.HasSuffix(k.Does, ".") || k.Support.String() == "" {
			t.Errorf("%s: %s: want a sentence, got %q", k.Section, k.Name, k.Does)
		}
	}
	want := easjson.SchemaKeys()
	for _, lists := range []map[easjson.Section][]string{got, want} {
		for _, names := range lists {
			slices.Sort(names)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Lines around the generated part of docs/eas.md.
const (
	tableStart = "<!-- The table is generated: cd shared && GOWORK=off go test ./project/easjson -run TestKeysPage -update -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

// TestKeysPage checks the table in docs/eas.md against the one in support.go.
func TestKeysPage(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "docs", "eas.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(data, []byte(tableStart))
	_, after, ends := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ends {
		t.Fatalf("%s has no lines %q and %q", path, tableStart, tableEnd)
	}
	page := slices.Concat(before, []byte(tableStart), []byte(keysTable()), []byte(tableEnd), after)
	if *update {
		if err := os.WriteFile(path, page, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(data, page) {
		t.Error("docs/eas.md does not agree with support.go: cd shared && GOWORK=off go test ./project/easjson -run TestKeysPage -update")
	}
}

func keysTable() string {
	var b strings.Builder
	var section easjson.Section
	for _, k := range easjson.Keys() {
		if k.Section != section {
			section = k.Section
			fmt.Fprintf(&b, "\n### Which keys of %s are supported?\n\n| key | support | effect |\n|---|---|---|\n", where(section))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, k.Support, k.Does)
	}
	b.WriteString("\n")
	return b.String()
}

// where names a section with its place in the file.
func where(s easjson.Section) string {
	return map[easjson.Section]string{
		easjson.Top:           "the top level",
		easjson.InCli:         "`cli`",
		easjson.AnyProfile:    "a build profile",
		easjson.AnyPlatform:   "`android` and `ios` in a build profile",
		easjson.OnlyAndroid:   "`android` in a build profile",
		easjson.OnlyIOS:       "`ios` in a build profile",
		easjson.InCache:       "`cache` in a build profile",
		easjson.Submit:        "a submit profile",
		easjson.SubmitAndroid: "`android` in a submit profile",
		easjson.SubmitIOS:     "`ios` in a submit profile",
	}[s]
}

func TestNoticesNameWhatAFileSets(t *testing.T) {
	t.Parallel()
	file, err := easjson.Parse([]byte(`{build: {base: {node: '20.1.0', cache: {paths: ['a'], cacheDefaultPaths: false}, corepack: false},
		production: {extends: 'base', android: {ndk: '26.1.10909125', simulator: undefined}}}}`))
	if err == nil {
		t.Fatalf("undefined was accepted: %+v", file)
	}
	file, err = easjson.Parse([]byte(`{build: {base: {expoCli: '6.0.0', cache: {paths: ['a'], cacheDefaultPaths: false}, corepack: false},
		production: {extends: 'base', android: {ndk: '26.1.10909125'}, ios: {bundler: '2.5.0'}, credentialsSource: 'remote'}}}`))
	if err != nil {
		t.Fatal(err)
	}
	profile, _, err := file.BuildProfile(easjson.Android, "")
	if err != nil {
		t.Fatal(err)
	}
	wantKeys := []string{"cache", "cache.cacheDefaultPaths", "cache.paths", "corepack", "credentialsSource", "expoCli", "ndk"}
	if d := cmp.Diff(wantKeys, profile.Keys); d != "" {
		t.Errorf("keys: %s", d)
	}
	warned := map[string]bool{}
	for _, n := range easjson.Notices(easjson.Android, profile) {
		if n.Key.Support == easjson.Warned {
			warned[n.Path] = true
		}
		if n.Path == "credentialsSource" || n.Path == "corepack" || n.Path == "bundler" {
			t.Errorf("a notice about %s, which has no effect here", n.Path)
		}
	}
	if d := cmp.Diff(map[string]bool{"cache.cacheDefaultPaths": true, "expoCli": true, "ndk": true}, warned); d != "" {
		t.Errorf("warned: %s", d)
	}
}
