package standalone_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const ours = "github.com/expo-free-agent/freeagent/"

// root is absolute from the start: the S3 endpoint of other tests changes the process's working directory.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// rule is a row of the import table in docs/architecture.md: what the packages of a module may link, whatever the way.
type rule struct {
	module string
	// only holds for the packages below this folder of the module, except those below the folders in except.
	only   string
	except []string
	// deny and allow are paths that stand for everything below them too. With an allow list, what it does not name is
	// denied, the standard library aside.
	deny, allow []string
}

const natsServer = "github.com/nats-io/nats-server"

var sql = []string{"database/sql", "github.com/jackc/pgx", "modernc.org/sqlite", ours + "shared/database"}

func rules() []rule {
	service := func(name string) rule {
		deny := []string{ours + "clients", ours + "services/standalone", natsServer}
		for _, other := range []string{"ingest", "scheduler", "monitor", "artifact"} {
			if other != name {
				deny = append(deny, ours+"services/"+other)
			}
		}
		return rule{module: "services/" + name, deny: deny}
	}
	return []rule{
		{module: "proto-events", allow: []string{ours + "proto-events", "google.golang.org/protobuf"}},
		{module: "shared", only: "shared/build", allow: []string{ours + "shared/build"}},
		{
			module: "shared", except: []string{"shared/bus/bustest", "shared/daemon/daemontest"},
			deny: []string{natsServer, ours + "services", ours + "clients"},
		},
		service("ingest"),
		service("scheduler"),
		service("monitor"),
		service("artifact"),
		{module: "clients/worker", deny: append([]string{ours + "services", natsServer}, sql...)},
		{module: "clients/cli", deny: append([]string{ours + "services", "github.com/nats-io", ours + "shared/bus"}, sql...)},
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		t.Run(strings.TrimPrefix(r.module+"/"+r.only, r.module+"/"+r.module), func(t *testing.T) {
			t.Parallel()
			for _, broken := range r.violations(list(t, r.module)) {
				t.Error(broken)
			}
		})
	}
}

// A rule that names nothing real would hold for ever: each path must stand for a package that some module links.
func TestImportsNameRealPackages(t *testing.T) {
	t.Parallel()
	var known []string
	for _, module := range workspace(t) {
		known = append(known, ours+module)
		for _, p := range list(t, module) {
			known = append(append(known, p.ImportPath), p.Deps...)
		}
	}
	for _, r := range rules() {
		if !slices.Contains(workspace(t), r.module) {
			t.Errorf("rule for %s: go.work has no such module", r.module)
		}
		for _, path := range slices.Concat(r.deny, r.allow) {
			if !slices.ContainsFunc(known, func(p string) bool { return below(p, path) }) {
				t.Errorf("rule for %s: no package is %s or below it", r.module, path)
			}
		}
	}
}

func TestImportsFindViolations(t *testing.T) {
	t.Parallel()
	const scheduler = ours + "services/scheduler"
	tests := []struct {
		name string
		rule rule
		pkg  pkg
		want int
	}{
		{"denied itself", rule{deny: []string{natsServer}}, pkg{scheduler, []string{natsServer}}, 1},
		{"denied below", rule{deny: []string{natsServer}}, pkg{scheduler, []string{natsServer + "/v2/server"}}, 1},
		{"a longer name is another path", rule{deny: []string{natsServer}}, pkg{scheduler, []string{natsServer + "x"}}, 0},
		{"allowed", rule{allow: []string{ours + "shared/build"}}, pkg{ours + "shared/build", []string{"time"}}, 0},
		{"not allowed", rule{allow: []string{ours + "shared/build"}}, pkg{ours + "shared/build", []string{ours + "shared/bus"}}, 1},
		{"another folder", rule{only: "shared/build", deny: []string{"time"}}, pkg{ours + "shared/bus", []string{"time"}}, 0},
		{"excepted", rule{except: []string{"shared/bus/bustest"}, deny: []string{"time"}}, pkg{ours + "shared/bus/bustest", []string{"time"}}, 0},
	}
	for _, tt := range tests {
		if got := tt.rule.violations([]pkg{tt.pkg}); len(got) != tt.want {
			t.Errorf("%s: violations = %q, want %d", tt.name, got, tt.want)
		}
	}
}

// pkg is a package with everything that it links.
type pkg struct {
	ImportPath string
	Deps       []string
}

func (r rule) violations(packages []pkg) []string {
	var found []string
	for _, p := range packages {
		if !r.covers(strings.TrimPrefix(p.ImportPath, ours)) {
			continue
		}
		for _, dep := range p.Deps {
			if r.forbids(dep) {
				found = append(found, p.ImportPath+" must not link "+dep)
			}
		}
	}
	return found
}

func (r rule) covers(folder string) bool {
	return (r.only == "" || below(folder, r.only)) &&
		!slices.ContainsFunc(r.except, func(e string) bool { return below(folder, e) })
}

func (r rule) forbids(dep string) bool {
	within := func(path string) bool { return below(dep, path) }
	if r.allow != nil {
		return !standard(dep) && !slices.ContainsFunc(r.allow, within)
	}
	return slices.ContainsFunc(r.deny, within)
}

// below reports whether path is parent or below it. Drivers import database/sql/driver for its types alone, and so do
// packages that never open a database; that is no SQL.
func below(path, parent string) bool {
	if path == "database/sql/driver" {
		return false
	}
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// standard packages have no dot in their first element.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// list returns the module's packages as it stands alone; none if it has no code yet.
func list(t *testing.T, module string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Deps", "./...")
	cmd.Dir = filepath.Join(root, module)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list in %s: %v\n%s", module, err, stderr.Bytes())
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("output of go list in %s: %v", module, err)
		}
		packages = append(packages, p)
	}
}

// workspace returns the modules' folders that go.work names.
func workspace(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(text)) {
		if folder, ok := strings.CutPrefix(strings.TrimSpace(line), "./"); ok {
			modules = append(modules, folder)
		}
	}
	return modules
}
