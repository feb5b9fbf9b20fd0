package standalone

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/settings"
)

var update = flag.Bool("update", false, "write docs/settings.md anew")

// TestSettingsPage checks docs/settings.md against what the programs print.
func TestSettingsPage(t *testing.T) {
	t.Parallel()
	rows := map[string]*row{}
	for _, program := range programs() {
		for _, s := range settingsOf(t, program) {
			if rows[s.variable] == nil {
				rows[s.variable] = &row{flag: s.flag}
			}
			r := rows[s.variable]
			if r.flag != s.flag {
				r.flag += ", " + program + ": " + s.flag
			}
			r.programs = append(r.programs, program)
			r.defaults, r.texts = append(r.defaults, s.def), append(r.texts, s.text)
		}
	}
	page, err := settingsPage(rows)
	path := filepath.Join(repository, "docs", "settings.md")
	if err == nil && *update {
		err = os.WriteFile(path, []byte(page), 0o600)
	}
	data, readErr := os.ReadFile(path)
	if err := errors.Join(err, readErr); err != nil {
		t.Fatal(err)
	}
	if string(data) != page {
		t.Error("docs/settings.md is not what the programs say: cd services/standalone && GOWORK=off go test -run TestSettingsPage . -update")
	}
}

// row is a setting in the table.
type row struct {
	flag                      string
	programs, defaults, texts []string
}

func settingsPage(rows map[string]*row) (string, error) {
	var b strings.Builder
	head, err := os.ReadFile(filepath.Join(repository, "services", "standalone", "testdata", "settings-head.md"))
	if err != nil {
		return "", err
	}
	b.Write(head)
	b.WriteString("\n## All settings\n\n| variable | flag | default | meaning | programs |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", name, r.flag, r.each(r.defaults, "`"), r.each(r.texts, ""), strings.Join(r.programs, ", "))
	}
	b.WriteString("\n## Which settings have no effect on `freeagent up`?\n\n| variable | reason |\n|---|---|\n")
	reasons := foreign()
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, reasons[name])
	}
	b.WriteString("\n## Renamed settings\n\nOld names still work. A program that is given one logs a warning with the new name; different values under both are an error.\n\n| old | new |\n|---|---|\n")
	for _, r := range settings.Renamed() {
		if r.Value != "" {
			r.New += "=" + r.Value
		}
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", r.Old, r.New)
	}
	return b.String(), nil
}

// each is what all programs say, or each what it says.
func (r *row) each(texts []string, quote string) string {
	var parts []string
	for i, text := range texts {
		if slices.Index(texts, text) != i {
			continue
		}
		text = strings.ReplaceAll(text, "|", "\\|")
		if text != "" && text != "required" {
			text = quote + text + quote
		}
		if slices.ContainsFunc(texts, func(other string) bool { return other != texts[i] }) {
			var say []string
			for j, program := range r.programs {
				if texts[j] == texts[i] {
					say = append(say, program)
				}
			}
			if text == "" {
				continue
			}
			text = strings.Join(say, ", ") + ": " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}
