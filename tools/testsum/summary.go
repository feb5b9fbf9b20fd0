package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

var (
	errFailed  = errors.New("tests failed")
	errNothing = errors.New("no test ran")
)

// event is one line of `go test -json` (see `go doc test2json`), or our own {"Action":"module-fail","Package":MODULE},
// which says that a module's `go test` ended with an error.
type event struct {
	Action  string
	Package string
	// ImportPath stands for Package in the events of a failed build.
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
	// FailedBuild names the package whose build broke this one's tests.
	FailedBuild string
}

// summary adds up what happened; tests inside tests (t.Run) count like any other.
type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	tests                   map[string]*tally // by package
	output                  map[string]*strings.Builder
	failures, skips         []string
}

type tally struct{ passed, failed, skipped int }

func newSummary(out io.Writer) *summary {
	return &summary{out: out, tests: map[string]*tally{}, output: map[string]*strings.Builder{}}
}

// read takes events to the end of in; a line that is none of them is passed on.
func (s *summary) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			s.event(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}

func (s *summary) event(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		fmt.Fprintf(s.out, "%s", line)
		return
	}
	s.add(e)
}

func (s *summary) add(e event) {
	switch {
	case e.Action == "output" || e.Action == "build-output":
		s.keep(e)
	case e.Action == "module-fail":
		s.moduleFailed(e.Package)
	case e.Test != "":
		s.testEnded(e)
	default:
		s.packageEnded(e)
	}
}

func key(pkg, test string) string { return pkg + "\x00" + test }

func (s *summary) keep(e event) {
	k := key(e.Package+e.ImportPath, e.Test)
	if s.output[k] == nil {
		s.output[k] = &strings.Builder{}
	}
	s.output[k].WriteString(e.Output)
}

// take returns what a test or package said and forgets it: the output of what passed is not kept in memory.
func (s *summary) take(pkg, test string) string {
	k := key(pkg, test)
	b := s.output[k]
	delete(s.output, k)
	if b == nil {
		return ""
	}
	return b.String()
}

func (s *summary) of(pkg string) *tally {
	if s.tests[pkg] == nil {
		s.tests[pkg] = &tally{}
	}
	return s.tests[pkg]
}

func (s *summary) testEnded(e event) {
	t := s.of(e.Package)
	switch e.Action {
	case "pass":
		t.passed++
		s.passed++
		s.take(e.Package, e.Test)
	case "fail":
		t.failed++
		s.failed++
		s.failure(e.Package+" "+e.Test, s.take(e.Package, e.Test))
	case "skip":
		t.skipped++
		s.skipped++
		s.skips = append(s.skips, e.Package+" "+e.Test+": "+reason(s.take(e.Package, e.Test)))
	}
}

func (s *summary) failure(what, output string) {
	s.failures = append(s.failures, what)
	fmt.Fprintf(s.out, "--- FAIL %s\n%s", what, output)
}

// reason finds what t.Skip said.
func reason(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}

func (s *summary) packageEnded(e event) {
	t := s.of(e.Package)
	switch e.Action {
	case "pass":
		s.take(e.Package, "")
		if t.passed+t.skipped > 0 {
			fmt.Fprintf(s.out, "ok    %7.1fs  %4d passed  %s\n", e.Elapsed, t.passed, e.Package)
		}
	case "fail":
		s.packageFailed(e, t)
	}
}

// packageFailed counts a package that failed without a failed test: it did not build, or it crashed or ran out of time.
func (s *summary) packageFailed(e event, t *tally) {
	if t.failed == 0 {
		t.failed++
		s.failed++
		s.failure(e.Package, s.take(e.FailedBuild, "")+s.take(e.Package, "")+s.unfinished(e.Package))
	}
	fmt.Fprintf(s.out, "FAIL  %7.1fs  %4d passed  %4d failed  %s\n", e.Elapsed, t.passed, t.failed, e.Package)
}

// unfinished returns what the tests said that had no end: a crash lands in the output of the one that ran.
func (s *summary) unfinished(pkg string) string {
	var all strings.Builder
	for k, b := range s.output {
		if strings.HasPrefix(k, pkg+"\x00") {
			all.WriteString(b.String())
		}
	}
	return all.String()
}

// moduleFailed counts a module whose `go test` failed before any package did (say, a missing go.sum entry).
func (s *summary) moduleFailed(module string) {
	for pkg, t := range s.tests {
		if t.failed > 0 && (pkg == module || strings.HasPrefix(pkg, module+"/")) {
			return
		}
	}
	s.failed++
	s.failures = append(s.failures, module+" (go test itself)")
}

func (s *summary) close() {
	for _, what := range s.skips {
		fmt.Fprintln(s.out, "skipped:", what)
	}
	for _, what := range s.failures {
		fmt.Fprintln(s.out, "failed: ", what)
	}
	fmt.Fprintln(s.out, s.line())
}

func (s *summary) line() string {
	line := fmt.Sprintf("%d passed, %d failed", s.passed, s.failed)
	if s.skipped > 0 {
		line += fmt.Sprintf(", %d skipped", s.skipped)
	}
	return line
}

func (s *summary) verdict() error {
	if s.failed > 0 {
		return errFailed
	}
	if s.passed == 0 {
		return errNothing
	}
	return nil
}
