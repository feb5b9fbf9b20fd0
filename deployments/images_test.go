package deployments_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// stages are those of the Dockerfile, as BuildKit reads it.
func stages() ([]instructions.Stage, error) {
	f, err := os.Open("images/Dockerfile")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tree, err := parser.Parse(f)
	if err != nil {
		return nil, err
	}
	if len(tree.Warnings) > 0 {
		return nil, fmt.Errorf("Dockerfile: %v", tree.Warnings)
	}
	all, _, err := instructions.Parse(tree.AST, nil)
	return all, err
}

func images() []string {
	return []string{"ingest", "scheduler", "monitor", "artifact", "freeagent", "worker"}
}

// buildAsImages runs the Dockerfile's own build commands here, with /out in dir.
func buildAsImages(dir string) error {
	all, err := stages()
	if err != nil {
		return err
	}
	for _, stage := range all {
		if !strings.HasPrefix(stage.Name, "build-") {
			continue
		}
		for _, c := range stage.Commands {
			run, ok := c.(*instructions.RunCommand)
			if !ok {
				continue
			}
			cmd := exec.Command("sh", "-euc", strings.ReplaceAll(strings.Join(run.CmdLine, " "), "/out/", dir+"/"))
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "LDFLAGS=-s -w")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w\n%s", stage.Name, err, out)
			}
		}
	}
	return nil
}

// TestImages: each target runs as a user that is not root, begins with the program that it copies, and those of services hold
// nothing but it.
func TestImages(t *testing.T) {
	t.Parallel()
	all, err := stages()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]instructions.Stage{}
	for _, s := range all {
		byName[s.Name] = s
	}
	for _, name := range images() {
		stage, ok := byName[name]
		if !ok {
			t.Errorf("no target %s", name)
			continue
		}
		user, entry, copied := look(stage)
		if base, ok := byName[stage.BaseName]; ok {
			if base.BaseName != "scratch" {
				t.Errorf("%s is based on %s", name, base.BaseName)
			}
			baseUser, _, _ := look(base)
			user = baseUser
		} else if name != "worker" {
			t.Errorf("%s is based on %s, want scratch", name, stage.BaseName)
		}
		if user != "65532:65532" {
			t.Errorf("%s runs as %q", name, user)
		}
		program := "/" + name
		if name == "worker" {
			program = "/usr/local/bin/freeagent"
		}
		if !slices.Contains(entry, program) || !slices.Contains(copied, program) {
			t.Errorf("%s begins with %q and holds %q, want %s in both", name, entry, copied, program)
		}
	}
	// The package is found where the flag for the linker says: else -version would say nothing.
	flag := regexp.MustCompile(`-X (\S+)\.Version=`).FindStringSubmatch(read(t, "images/Dockerfile"))
	if len(flag) != 2 || flag[1] != "github.com/expo-free-agent/freeagent/shared/version" {
		t.Errorf("the version goes to %q", flag)
	}
}

func look(stage instructions.Stage) (user string, entry, copied []string) {
	for _, c := range stage.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = c.CmdLine
		case *instructions.CopyCommand:
			copied = append(copied, c.DestPath)
		}
	}
	return user, entry, copied
}

// TestImageContext: what reaches a build is the modules' code, and no secret, repository or test.
func TestImageContext(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"services/ingest/go.mod": false, "services/ingest/docs.html": false, "services/scheduler/internal/store/migrations/sqlite/0001_builds.sql": false,
		"shared/bus/connect.go": false, "proto-events/go.sum": false, "clients/cli/root.go": false,
		"deployments/compose/secrets/master-key": true, ".git/config": true, ".bin/buf": true, "services/ingest/ingest_test.go": true,
		"docs/api.md": true, ".env": true, "shared/archive/testdata/fuzz/x": true,
	} {
		if got, err := m.MatchesOrParentMatches(path); err != nil || got != want {
			t.Errorf("%s is left out: %t, %v, want %t", path, got, err, want)
		}
	}
}
