package source_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/expo-free-agent/freeagent/shared/project/ignore"
	"github.com/expo-free-agent/freeagent/shared/project/source"
)

// tree is a directory, and what EAS packs of it.
type tree struct {
	Case              string
	IgnoreFiles       map[string]string
	Files             []string
	Symlinks          map[string]string
	Expected          []string
	ExpectedEmptyDirs []string
}

// corpus returns the trees in testdata, or those in the directory that FREEAGENT_EAS_CORPUS names.
func corpus(t *testing.T) []tree {
	t.Helper()
	dir := "testdata/eas"
	if all := os.Getenv("FREEAGENT_EAS_CORPUS"); all != "" {
		dir = filepath.Join(all, "ignore")
	}
	names, err := filepath.Glob(filepath.Join(dir, "i*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no trees in %s: %v", dir, err)
	}
	trees := make([]tree, len(names))
	for i, name := range names {
		data, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(data, &trees[i])
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return trees
}

// make writes the tree. Git's own files are left out: what they hold is no repository.
func (tr tree) make(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range tr.Files {
		if strings.HasPrefix(name, ".git/") {
			continue
		}
		if target, ok := tr.Symlinks[name]; ok {
			link(t, dir, name, target)
			continue
		}
		write(t, dir, name, "{}")
	}
	for name, content := range tr.IgnoreFiles {
		write(t, dir, name, content)
	}
	return dir
}

func TestEASCorpus(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../../docs/eas.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range corpus(t) {
		t.Run(tr.Case, func(t *testing.T) {
			t.Parallel()
			_, eas := tr.IgnoreFiles[".easignore"]
			dir := tr.make(t)
			plain := open(t, dir, "")
			inGit := tr.make(t)
			git(t, inGit, "init", "--quiet")
			byGit := open(t, inGit, "")
			if diff := cmp.Diff(paths(byGit), paths(plain)); diff != "" {
				t.Errorf("with a repository and without (-with +without):\n%s", diff)
			}
			if eas {
				compareEAS(t, tr, plain)
				compareEAS(t, tr, byGit)
				return
			}
			checkDifferences(t, tr, dir, byGit, string(docs))
		})
	}
}

func compareEAS(t *testing.T, tr tree, s *source.Source) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(slices.Values(tr.Expected)), paths(s)); diff != "" {
		t.Errorf("files (-EAS +here):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(tr.ExpectedEmptyDirs)), s.Dirs, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("empty directories (-EAS +here):\n%s", diff)
	}
	if s.Selection != source.ByEASIgnore {
		t.Errorf("selection = %s", s.Selection)
	}
}

// written is how the page writes a name: this repository has a directory .github itself, whose files the check of links looks for.
var written = strings.NewReplacer("\ufeff", "U+FEFF ", "`.github/", "`./.github/")

// checkDifferences wants a row in docs/eas.md that lists in what git's rules differ from EAS's.
func checkDifferences(t *testing.T, tr tree, dir string, s *source.Source, docs string) {
	t.Helper()
	kinds := map[string][]string{}
	for _, name := range without(tr.Expected, paths(s)) {
		kind := tr.kind(name)
		kinds[kind] = append(kinds[kind], "-`"+name+"`")
	}
	for _, name := range without(paths(s), tr.Expected) {
		kind := "case"
		if !ignoredByFold(dir, name) {
			kind = tr.kind(name)
		}
		kinds[kind] = append(kinds[kind], "`"+name+"`")
	}
	if n := len(tr.ExpectedEmptyDirs); n > 0 {
		kinds["empty directory"] = []string{fmt.Sprintf("%d not sent", n)}
	}
	if len(kinds) == 0 {
		kinds["none"] = []string{"none"}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		row := fmt.Sprintf("| %s | %s | %s |", tr.Case, kind, written.Replace(strings.Join(kinds[kind], " ")))
		if !strings.Contains(docs, row+"\n") {
			t.Errorf("docs/eas.md lacks the row\nROW %s", row)
		}
	}
}

// kind tells why EAS and git differ about a file, other than by case.
func (tr tree) kind(name string) string {
	for file, content := range tr.IgnoreFiles {
		base := path.Dir(file)
		inside := base == "." || strings.HasPrefix(name, base+"/")
		switch {
		case !inside:
		case strings.HasPrefix(content, "\ufeff"):
			return "byte order mark"
		case base != "." && strings.HasPrefix(base, "."):
			return "dot directory"
		case base != "." && strings.Contains("\n"+content, "\n!"):
			return "re-included"
		case strings.Contains(content, "[!"):
			return "class"
		}
	}
	return "unknown"
}

// ignoredByFold reports whether git would ignore the file if it ignored case.
func ignoredByFold(dir, name string) bool {
	var rules ignore.Git
	at := ""
	for _, element := range strings.Split(name, "/") {
		if data, err := os.ReadFile(filepath.Join(dir, at, ".gitignore")); err == nil {
			rules = rules.With(ignore.ParseList(at, data, true))
		}
		at = path.Join(at, element)
		if rules.Ignores(at, at != name) {
			return true
		}
	}
	return false
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return slices.Contains(b, x) })
}
