package deployments_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/settings.md anew")

// helpLine is a setting in what -h prints: variable, flag, what it is.
var helpLine = regexp.MustCompile(`(?m)^  (FREEAGENT_\S+) +(--\S+) +(.*)$`)

// TestSettingsPage: docs/settings.md says of each service what the service itself says.
func TestSettingsPage(t *testing.T) {
	t.Parallel()
	type setting struct {
		flag, text string
		of         []string
	}
	settings := map[string]*setting{}
	for _, service := range services() {
		out, err := exec.CommandContext(t.Context(), binary(t, service), "-h").CombinedOutput()
		if err != nil {
			t.Fatalf("%s -h: %v\n%s", service, err, out)
		}
		for _, m := range helpLine.FindAllStringSubmatch(string(out), -1) {
			if settings[m[1]] == nil {
				settings[m[1]] = &setting{flag: m[2], text: strings.ReplaceAll(m[3], "|", "\\|")}
			}
			settings[m[1]].of = append(settings[m[1]].of, service)
		}
	}
	var page strings.Builder
	page.WriteString(settingsHead)
	for _, group := range append([][]string{services()}, [][]string{{"ingest"}, {"scheduler"}, {"monitor"}, {"artifact"}}...) {
		title := "All services"
		if len(group) == 1 {
			title = strings.ToUpper(group[0][:1]) + group[0][1:]
		}
		fmt.Fprintf(&page, "\n## %s\n\n| variable | flag | meaning |\n|---|---|---|\n", title)
		for _, name := range slices.Sorted(keys(settings)) {
			s := settings[name]
			switch {
			case len(group) > 1 && len(s.of) == len(group), len(group) == 1 && len(s.of) < 4 && slices.Contains(s.of, group[0]):
				fmt.Fprintf(&page, "| `%s` | `%s` | %s |\n", name, s.flag, s.text)
			}
		}
	}
	path := filepath.Join(root, "docs", "settings.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, path) != page.String() {
		t.Error("docs/settings.md is not what the services say: cd deployments && GOWORK=off go test -run TestSettingsPage . -update")
	}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

const settingsHead = `# Settings of the services

Made of what the programs themselves print with ` + "`-h`" + `; a test holds the two together. Settings come from the command line, else
from the environment, else from a file of lines NAME=value (` + "`--config FILE` or `FREEAGENT_CONFIG_FILE`" + `). What is marked with * is
secret: a file holds it (append ` + "`_FILE`" + ` to the variable's name), or the environment, and never the command line. A name that no
program of Free Agent knows is refused; ` + "`--check-config`" + ` names every fault and connects to nothing.
`
