// Command testsum reads the output of `go test -json` runs and tells people what matters: one line a package as it ends,
// the whole output of what failed, the reason of what was skipped, and `N passed, N failed` at the end.
//
// It ends with code 1 when something failed or when nothing ran. With -totals FILE the closing line goes to that file too.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	totals := flag.String("totals", "", "also write the closing line to this `file`")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *totals); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, totals string) error {
	s := newSummary(out)
	if err := s.read(in); err != nil {
		return err
	}
	s.close()
	if totals != "" {
		if err := os.WriteFile(totals, []byte(s.line()+"\n"), 0o600); err != nil {
			return fmt.Errorf("write the totals: %w", err)
		}
	}
	return s.verdict()
}
