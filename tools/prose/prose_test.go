package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file below a new directory, makes that the working directory, and returns the file's name.
func write(t *testing.T, name, text string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func lines(found []finding) string {
	var out []string
	for _, f := range found {
		out = append(out, f.text)
	}
	return strings.Join(out, "\n")
}

func TestRules(t *testing.T) {
	rulesFile := filepath.Join(t.TempDir(), "rules.txt")
	const text = "# A comment.\n\ndocs: former => legacy\nall: whoever|of which => something else\nall: want more than => must be\nall: seldomer => less often\n"
	if err := os.WriteFile(rulesFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, file, text string
		line             int // 0: nothing is found
	}{
		{"word", "docs/a.md", "One.\n\nThe former controller.\n", 3},
		{"over a line break", "a.md", "some of\nwhich\n", 1},
		{"inline code", "a.md", "`services/former` is a path\n", 0},
		{"fenced block", "a.md", "```\nformer\n```\n", 0},
		{"indented block", "a.md", "Run:\n\n    former\n\nThen stop.\n", 0},
		{"target of a link", "a.md", "[here](former.md)\n", 0},
		{"paragraph of a list", "a.md", "- one\n\n    the former\n", 3},
		{"comment in Go", "a.go", "package a\n\n// F: whoever\nfunc F() {}\n", 3},
		{"over comment lines", "a.go", "package a\n\n// some of\n// which\nfunc F() {}\n", 3},
		{"string in Go", "a.go", "package a\n\nconst A = \"want more than 0\"\n", 3},
		{"name in Go", "a.go", "package a\n\nvar seldomer, whoever int\n", 0},
		{"word of docs in Go", "a.go", "package a\n\n// the former\nvar a int\n", 0},
		{"doc.go", "doc.go", "// Package a is former.\npackage a\n", 1},
		{"contract", "a.proto", "message former {}\n// The former one.\n", 2},
		{"YAML", "a.yaml", "former: true\n# the former\n", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, _, err := run([]string{write(t, test.file, test.text)}, rulesFile, false)
			if err != nil {
				t.Fatal(err)
			}
			if test.line == 0 {
				if len(found) > 0 {
					t.Fatalf("found = %s, want nothing", lines(found))
				}
				return
			}
			if len(found) == 0 || found[0].line != test.line {
				t.Fatalf("found = %+v, want something in line %d", found, test.line)
			}
		})
	}
}

func TestOurRules(t *testing.T) {
	rules, err := readRules("rules.txt")
	if err != nil || len(rules) == 0 {
		t.Fatalf("readRules = %d rules, %v", len(rules), err)
	}
	const text = "The former controller is none. Its silence forgiven goes on by itself.\n"
	if found := checkRules("a.md", markdown([]byte(text)), rules); len(found) < 5 {
		t.Errorf("found = %s, want at least five", lines(found))
	}
}

func TestBadRule(t *testing.T) {
	for _, text := range []string{"former => legacy", "code: former => legacy", "docs: former", "docs: ( => bracket"} {
		if _, err := readRules(write(t, "rules.txt", text)); err == nil {
			t.Errorf("readRules(%q) = nil, want an error", text)
		}
	}
}

func TestLongSentences(t *testing.T) {
	text := "Short. " + strings.Repeat("word ", maxWords+1) + "end. Short.\n"
	if found := longSentences("a.md", markdown([]byte(text))); len(found) != 1 {
		t.Errorf("found = %+v, want one long sentence", found)
	}
}

func TestLinks(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"path", "`docs/a.md` and `docs/`", ""},
		{"wrong path", "`docs/b.md`", "no such file in the repository: docs/b.md"},
		{"wrong folder", "`services/nothing/`", "no such file in the repository: services/nothing/"},
		{"pattern", "`docs/*.md`", ""},
		{"placeholder", "`services/X`", ""},
		{"command", "Run:\n\n    cd services/nothing && make\n", "no such file in the repository: services/nothing"},
		{"link", "[a](a.md) [here](#the-top-one) [out](https://example.com/b.md)", ""},
		{"broken link", "[a](b.md)", "broken link: b.md"},
		{"wrong section", "[a](#bottom)", "no such section: #bottom"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, "docs/a.md", "# The `top`: one!\n\n"+test.text)
			found, _, err := run([]string{file}, "", true)
			if err != nil {
				t.Fatal(err)
			}
			if lines(found) != test.want {
				t.Errorf("found = %q, want %q", lines(found), test.want)
			}
		})
	}
}
