package custom_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/project/custom"
)

var update = flag.Bool("update", false, "write the table of docs/eas.md anew")

// Lines around the generated part of docs/eas.md.
const (
	tableStart = "<!-- The table is generated: cd shared && GOWORK=off go test ./project/custom -run TestFunctionsPage -update -->\n"
	tableEnd   = "<!-- end of the functions -->\n"
)

// The table of docs/eas.md is that of Functions.
func TestFunctionsPage(t *testing.T) {
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
	var b strings.Builder
	b.WriteString("\n| function | support | effect or reason |\n|---|---|---|\n")
	for _, f := range custom.Functions() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, f.Support, f.Does)
	}
	b.WriteString("\nOther functions of EAS are refused as unknown.\n\n")
	page := slices.Concat(before, []byte(tableStart), []byte(b.String()), []byte(tableEnd), after)
	if *update {
		if err := os.WriteFile(path, page, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(data, page) {
		t.Error("docs/eas.md does not agree with functions.go: cd shared && GOWORK=off go test ./project/custom -run TestFunctionsPage -update")
	}
}
