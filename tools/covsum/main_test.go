package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCoverageCountsABlockOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	profile := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("mode: set\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := profile("one", "x/a/f.go:1.1,2.2 3 0\nx/a/f.go:3.1,4.2 1 0\nx/a/g.pb.go:1.1,2.2 50 0\n")
	two := profile("two", "x/a/f.go:1.1,2.2 3 7\nx/a/cmd/a/main.go:1.1,2.2 9 0\nx/b/btest/f.go:1.1,2.2 9 0\n")
	var out strings.Builder
	if err := run("x/", []string{"a", "b"}, []string{one, two}, &out); err != nil {
		t.Fatal(err)
	}
	want := `coverage of hand-written code:
   75.0%       4 statements  a
       -       0 statements  b
   75.0%       4 statements  all
`
	if out.String() != want {
		t.Errorf("report = %s, want %s", out.String(), want)
	}
}
