package failure_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/clients/worker/internal/failure"
)

// update writes what is found into the samples. Read the difference before it is committed.
var update = flag.Bool("update", false, "write the causes found into testdata")

// sample is a file of testdata: header lines "#! key: value", then what a command printed.
type sample struct {
	keys   []string
	values map[string]string
	output string
}

const headerMark = "#! "

func readSample(t *testing.T, name string) sample {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := sample{values: map[string]string{}, output: string(data)}
	for strings.HasPrefix(s.output, headerMark) {
		line, rest, _ := strings.Cut(s.output, "\n")
		key, value, ok := strings.Cut(strings.TrimPrefix(line, headerMark), ": ")
		if !ok {
			t.Fatalf("%s: header %q has no value", name, line)
		}
		s.keys, s.values[key], s.output = append(s.keys, key), value, rest
	}
	return s
}

// find gives the sample's output to a Finder, line by line.
func (s sample) find(t *testing.T) failure.Cause {
	t.Helper()
	code, err := strconv.Atoi(s.values["code"])
	if err != nil {
		t.Fatalf("code: %v", err)
	}
	f := failure.NewFinder(s.values["dir"])
	lines := buildlog.NewLines(buildlog.Mask{}, func(text string) {
		f.Line(buildlog.Level(text), text)
	})
	if _, err := lines.Write([]byte(s.output)); err != nil {
		t.Fatal(err)
	}
	lines.Close()
	return f.Find(code, "")
}

// results are the headers that say what is found.
func results(c failure.Cause) map[string]string {
	return map[string]string{
		"cause": c.Text, "where": c.Where, "cure": c.Cure, "blame": c.Blame.String(), "rule": c.Rule, "line": strconv.FormatInt(c.Line, 10),
	}
}

// TestSamples: each sample's cause, place, cure, line and blame are found.
func TestSamples(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*.log")
	if err != nil || len(names) < 80 {
		t.Fatalf("%d samples, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".log"), func(t *testing.T) {
			t.Parallel()
			s := readSample(t, name)
			if s.values["source"] == "" {
				t.Error("the sample does not name its source")
			}
			got := results(s.find(t))
			if *update {
				s.write(t, name, got)
				return
			}
			want := map[string]string{}
			for key := range got {
				want[key] = s.values[key]
			}
			for key, value := range got {
				if value == "" && want[key] == "" {
					delete(want, key)
					delete(got, key)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func (s sample) write(t *testing.T, name string, got map[string]string) {
	t.Helper()
	var b strings.Builder
	for _, key := range []string{"source", "dir", "code"} {
		if s.values[key] != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", headerMark, key, s.values[key])
		}
	}
	for _, key := range []string{"rule", "cause", "where", "cure", "blame", "line"} {
		if got[key] != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", headerMark, key, got[key])
		}
	}
	if err := os.WriteFile(name, []byte(b.String()+s.output), 0o600); err != nil {
		t.Fatal(err)
	}
}
