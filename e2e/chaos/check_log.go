package chaos

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// step is a line that the fake executor numbers.
var step = regexp.MustCompile(`^fake (\w+): step (\d+) of (\d+)$`)

// holesByAttempt finds steps that are missing before one that is there, or there twice. What is missing at the end of an attempt
// is none: it was killed.
func holesByAttempt(log []api.LogLine) map[int]string {
	next := map[string]int{}
	found := map[int]string{}
	for _, l := range log {
		m := step.FindStringSubmatch(strings.TrimSpace(l.Text))
		if m == nil {
			continue
		}
		key := fmt.Sprintf("%d %s", l.Attempt, m[1])
		n, err := strconv.Atoi(m[2])
		if err == nil && n != next[key]+1 && found[l.Attempt] == "" {
			found[l.Attempt] = fmt.Sprintf("%s: step %d follows step %d", m[1], n, next[key])
		}
		next[key] = n
	}
	return found
}

// checkControlLines wants each line of the control plane in the log as often as what it tells of happened: a line is neither lost nor
// doubled by a kill.
func (b Build) checkControlLines(say func(promise, format string, args ...any)) {
	lost := 0
	for _, a := range b.Attempts {
		if a.Outcome == "lost" || a.Outcome == "handed_back" {
			lost++
		}
	}
	if b.Status == "failed" && len(b.Attempts) > 0 && b.Attempts[len(b.Attempts)-1].Outcome == "lost" {
		lost-- // its attempts are used up: the last one ends with the build
	}
	want := map[string]int{"Build submitted": 1, "Assigned to worker ": len(b.Attempts), "Attempt ": lost}
	switch b.Status {
	case "completed":
		want["Build completed successfully"] = 1
	case "cancelled":
		want["Build cancelled"] = 1
	}
	for begin, n := range want {
		got := 0
		for _, l := range b.Log {
			if strings.HasPrefix(l.Text, begin) && (begin != "Attempt " || strings.Contains(l.Text, " ended early")) {
				got++
			}
		}
		if got != n {
			say(promiseLog, "%d lines begin with %q, want %d", got, begin, n)
		}
	}
	for i, l := range b.Log {
		if l.Line != int64(i+1) {
			say(promiseLog, "line %d has the number %d", i+1, l.Line)
			return
		}
	}
}

// stepsOf counts an attempt's numbered lines, wholeLog how many a whole one has.
func stepsOf(log []api.LogLine, attempt int) (n int) {
	for _, l := range log {
		if l.Attempt == attempt && step.MatchString(strings.TrimSpace(l.Text)) {
			n++
		}
	}
	return n
}

// fakeStages: the fake executor numbers its lines in each.
const fakeStages = 2

func wholeLog(log []api.LogLine, attempt int) int {
	for _, l := range log {
		if m := step.FindStringSubmatch(strings.TrimSpace(l.Text)); m != nil && l.Attempt == attempt {
			n, _ := strconv.Atoi(m[3]) // digits, by the expression
			return fakeStages * n
		}
	}
	return 1 // none is too few
}
