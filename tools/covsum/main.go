// Command covsum reads coverage profiles and prints how much of our hand-written code the tests run, for each module.
//
//	covsum -prefix PATH -modules "clients/cli shared ..." profile...
//
// A block that several test binaries ran counts once. Generated files (*.pb.go) and the mains (/cmd/) are left out: the
// first are not ours to test, the second only read their settings and call what is tested. So are packages that exist for
// tests alone (bustest, databasetest and the like).
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	prefix := flag.String("prefix", "", "import `path` that every module's path begins with")
	modules := flag.String("modules", "", "the modules' `folders`, separated by spaces")
	flag.Parse()
	if err := run(*prefix, strings.Fields(*modules), flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "covsum:", err)
		os.Exit(1)
	}
}

func run(prefix string, modules, profiles []string, out io.Writer) error {
	blocks := map[string]block{}
	for _, path := range profiles {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("open a profile: %w", err)
		}
		err = read(f, blocks)
		f.Close()
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	report(out, prefix, modules, blocks)
	return nil
}

// block is a stretch of code without a branch.
type block struct {
	statements int
	ran        bool
}

// line is "path/file.go:12.3,14.5 2 1": where, statements, how often.
var line = regexp.MustCompile(`^(\S+:\S+) (\d+) (\d+)$`)

func read(in io.Reader, blocks map[string]block) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil || excluded(m[1]) {
			continue
		}
		statements, err := strconv.Atoi(m[2])
		if err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		b := blocks[m[1]]
		blocks[m[1]] = block{statements: statements, ran: b.ran || m[3] != "0"}
	}
	return lines.Err()
}

var testOnly = regexp.MustCompile(`/[a-z0-9]+test/[^/]*$`)

func excluded(where string) bool {
	file, _, _ := strings.Cut(where, ":")
	return strings.HasSuffix(file, ".pb.go") || strings.Contains(file, "/cmd/") || testOnly.MatchString(file)
}

type sum struct{ statements, ran int }

func (s *sum) add(b block) {
	s.statements += b.statements
	if b.ran {
		s.ran += b.statements
	}
}

func (s *sum) String() string {
	if s.statements == 0 {
		return "     -"
	}
	return fmt.Sprintf("%5.1f%%", 100*float64(s.ran)/float64(s.statements))
}

func report(out io.Writer, prefix string, modules []string, blocks map[string]block) {
	var all sum
	sums := make([]sum, len(modules))
	for where, b := range blocks {
		for i, m := range modules {
			if strings.HasPrefix(where, prefix+m+"/") {
				sums[i].add(b)
				all.add(b)
			}
		}
	}
	fmt.Fprintln(out, "coverage of hand-written code:")
	for i, m := range modules {
		fmt.Fprintf(out, "  %s  %6d statements  %s\n", &sums[i], sums[i].statements, m)
	}
	fmt.Fprintf(out, "  %s  %6d statements  all\n", &all, all.statements)
}
