package rooms

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	ours = "github.com/expo-free-agent/freeagent/"
	root = "../../../.."

	maxMethods      = 30
	maxPackageLines = 2500
	maxFileLines    = 400
)

// source is a file of product code: neither a test nor generated.
type source struct {
	path    string // from the repository's root
	lines   int
	imports []string
	// methods counts them by the name of their type.
	methods map[string]int
}

// modules returns the folders that go.work names.
func modules(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if folder, ok := strings.CutPrefix(strings.TrimSpace(line), "./"); ok {
			all = append(all, folder)
		}
	}
	return all
}

// sources reads the product code below a folder of the repository.
func sources(t *testing.T, folder string) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(filepath.Join(root, folder), func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s, generated, err := read(filepath.ToSlash(relative))
		if err == nil && !generated {
			all = append(all, s)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(name string) (s source, generated bool, err error) {
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return s, false, err
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return s, false, err
	}
	s = source{path: name, lines: bytes.Count(text, []byte("\n")), methods: map[string]int{}}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return s, false, err
		}
		s.imports = append(s.imports, imported)
	}
	for _, d := range f.Decls {
		if method, ok := d.(*ast.FuncDecl); ok && method.Recv != nil {
			s.methods[receiver(method.Recv.List[0].Type)]++
		}
	}
	return s, ast.IsGenerated(f), nil
}

func receiver(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// sizes returns the lines of files and packages, by path, and the methods of types, by path and name.
func sizes(all []source) (files, packages, types map[string]int) {
	files, packages, types = map[string]int{}, map[string]int{}, map[string]int{}
	for _, s := range all {
		files[s.path] = s.lines
		folder := path.Dir(s.path)
		packages[folder] += s.lines
		for name, n := range s.methods {
			types[folder+"."+name] += n
		}
	}
	return files, packages, types
}

// TestRoomsAreSmall holds files, packages and types of every module against the limits.
func TestRoomsAreSmall(t *testing.T) {
	t.Parallel()
	var all []source
	for _, module := range modules(t) {
		all = append(all, sources(t, module)...)
	}
	files, packages, types := sizes(all)
	unused := maps.Clone(exceptions())
	check := func(counts map[string]int, limit int, unit string) {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			most := limit
			if e, ok := exceptions()[name]; ok {
				delete(unused, name)
				if most = e.most; counts[name] <= limit || e.why == "" {
					t.Errorf("%s has %d %s: its exception (%q) is not needed any more, or lacks a reason", name, counts[name], unit, e.why)
				}
			}
			if counts[name] > most {
				t.Errorf("%s has %d %s, at most %d are allowed: split it", name, counts[name], unit, most)
			}
		}
	}
	check(files, maxFileLines, "lines")
	check(packages, maxPackageLines, "lines")
	check(types, maxMethods, "methods")
	for name := range unused {
		t.Errorf("exception for %s: there is no such file, package or type", name)
	}
}

// TestRoomsPointOneWay holds the imports of each module's internal packages against its plan.
func TestRoomsPointOneWay(t *testing.T) {
	t.Parallel()
	for module, plan := range plans() {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			for _, problem := range plan.problems(module, sources(t, module+"/internal")) {
				t.Error(problem)
			}
		})
	}
}

// plan names the packages below a module's internal folder and which of them each may import. "." is the module's root package.
type plan map[string][]string

func (p plan) problems(module string, all []source) []string {
	var found []string
	seen := map[string]bool{}
	for _, s := range all {
		room := strings.TrimPrefix(path.Dir(s.path), module+"/internal/")
		if _, known := p[room]; !known && !seen[room] {
			found = append(found, module+"/internal/"+room+" is not in the plan: say what it may import")
		}
		seen[room] = true
		for _, imported := range s.imports {
			other, ok := strings.CutPrefix(imported, ours+module+"/internal/")
			if imported == ours+module {
				other, ok = ".", true
			}
			if ok && !slices.Contains(p[room], other) {
				found = append(found, s.path+" must not import "+imported)
			}
		}
	}
	for _, room := range slices.Sorted(maps.Keys(p)) {
		if !seen[room] {
			found = append(found, "the plan names "+module+"/internal/"+room+", which does not exist")
		}
	}
	return append(found, p.cycles(module)...)
}

// cycles returns the rooms that may import themselves by way of others.
func (p plan) cycles(module string) []string {
	var found []string
	var reaches func(from, to string, visited map[string]bool) bool
	reaches = func(from, to string, visited map[string]bool) bool {
		for _, next := range p[from] {
			if next == to {
				return true
			}
			if !visited[next] {
				visited[next] = true
				if reaches(next, to, visited) {
					return true
				}
			}
		}
		return false
	}
	for _, room := range slices.Sorted(maps.Keys(p)) {
		if reaches(room, room, map[string]bool{}) {
			found = append(found, "the plan of "+module+" lets "+room+" import itself by way of others")
		}
	}
	return found
}

func TestPlansFindProblems(t *testing.T) {
	t.Parallel()
	const module = "services/x"
	file := func(room string, imports ...string) source {
		for i := range imports {
			imports[i] = ours + module + imports[i]
		}
		return source{path: module + "/internal/" + room + "/a.go", imports: imports}
	}
	tests := []struct {
		name    string
		plan    plan
		sources []source
		want    int
	}{
		{"allowed", plan{"a": {"b"}, "b": {}}, []source{file("a", "/internal/b"), file("b")}, 0},
		{"not allowed", plan{"a": {"b"}, "b": {}}, []source{file("a", "/internal/b"), file("b", "/internal/a")}, 1},
		{"a longer name is another room", plan{"a": {"b"}, "b": {}}, []source{file("a", "/internal/b/c"), file("b")}, 1},
		{"the root", plan{"a": {"."}, "b": {}}, []source{file("a", ""), file("b", "")}, 1},
		{"not in the plan", plan{}, []source{file("a")}, 1},
		{"does not exist", plan{"a": {}}, nil, 1},
		{"a circle", plan{"a": {"b"}, "b": {"a"}}, []source{file("a"), file("b")}, 2},
	}
	for _, tt := range tests {
		if got := tt.plan.problems(module, tt.sources); len(got) != tt.want {
			t.Errorf("%s: problems = %q, want %d", tt.name, got, tt.want)
		}
	}
}

// TestLegacyIsImportedByLegacy: only folders named legacy and files named legacy.go import the legacy controller's parts, so both can be
// deleted.
func TestLegacyIsImportedByLegacy(t *testing.T) {
	t.Parallel()
	legacy := func(p string) bool { return slices.Contains(strings.Split(p, "/"), "legacy") }
	for _, module := range modules(t) {
		for _, s := range sources(t, module) {
			if legacy(path.Dir(s.path)) || path.Base(s.path) == "legacy.go" {
				continue
			}
			for _, imported := range s.imports {
				if strings.HasPrefix(imported, ours) && legacy(imported) {
					t.Errorf("%s imports %s: only a file named legacy.go may", s.path, imported)
				}
			}
		}
	}
}
