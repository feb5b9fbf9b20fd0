package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, events string
		want         string // the closing line
		err          error
		says         string // somewhere in the output
	}{
		{
			name: "a test and a test inside it pass",
			events: `{"Action":"pass","Package":"m/p","Test":"TestA/x"}
{"Action":"pass","Package":"m/p","Test":"TestA"}
{"Action":"pass","Package":"m/p","Elapsed":1.5}`,
			want: "2 passed, 0 failed",
			says: "ok        1.5s     2 passed  m/p",
		},
		{
			name: "the output of a failed test is shown",
			events: `{"Action":"output","Package":"m/p","Test":"TestA","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"m/p","Test":"TestA"}
{"Action":"fail","Package":"m/p"}
{"Action":"module-fail","Package":"m"}`,
			want: "0 passed, 1 failed", err: errFailed, says: "got 1, want 2",
		},
		{
			name: "a build that broke counts once",
			events: `{"ImportPath":"m/p [m/p.test]","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"m/p [m/p.test]","Action":"build-fail"}
{"Action":"fail","Package":"m/p","FailedBuild":"m/p [m/p.test]"}`,
			want: "0 passed, 1 failed", err: errFailed, says: "undefined: x",
		},
		{
			name: "a crash shows what the running test said",
			events: `{"Action":"output","Package":"m/p","Test":"TestA","Output":"panic: boom\n"}
{"Action":"fail","Package":"m/p"}`,
			want: "0 passed, 1 failed", err: errFailed, says: "panic: boom",
		},
		{
			name: "a skip gives its reason",
			events: `{"Action":"output","Package":"m/p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"m/p","Test":"TestA","Output":"    a_test.go:3: needs Xcode\n"}
{"Action":"skip","Package":"m/p","Test":"TestA"}
{"Action":"pass","Package":"m/p","Test":"TestB"}`,
			want: "1 passed, 0 failed, 1 skipped", says: "skipped: m/p TestA: a_test.go:3: needs Xcode",
		},
		{
			name:   "a module whose go test failed by itself",
			events: `{"Action":"module-fail","Package":"m"}`,
			want:   "0 passed, 1 failed", err: errFailed, says: "m (go test itself)",
		},
		{name: "nothing ran", events: "not an event\n", want: "0 passed, 0 failed", err: errNothing, says: "not an event"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			totals := filepath.Join(t.TempDir(), "totals")
			if err := run(strings.NewReader(tt.events), &out, totals); !errors.Is(err, tt.err) {
				t.Errorf("run = %v, want %v", err, tt.err)
			}
			line, err := os.ReadFile(totals)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(string(line)); got != tt.want {
				t.Errorf("closing line = %q, want %q", got, tt.want)
			}
			if !strings.Contains(out.String(), tt.says) {
				t.Errorf("output = %q, want %q in it", out.String(), tt.says)
			}
			if !strings.HasSuffix(out.String(), "\n"+tt.want+"\n") {
				t.Errorf("output = %q, want it to end with the closing line", out.String())
			}
		})
	}
}
