package standalone_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// says runs a command against the farm and gives what it printed.
func (f *farm) says(args ...string) string {
	f.t.Helper()
	p := run(f.t, []string{"FREEAGENT_URL=" + f.url(), "FREEAGENT_API_KEY=" + farmKey}, args...)
	select {
	case err := <-p.done:
		p.done <- err
		if err != nil {
			f.t.Fatalf("freeagent %v: %v: %s", args, err, p.out)
		}
	case <-time.After(30 * time.Second):
		f.t.Fatalf("freeagent %v does not end", args)
	}
	return p.out.String()
}

// TestWhoBuildsAndHowMuch: the figures and the machines of a real farm, as a person asks for them.
func TestWhoBuildsAndHowMuch(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.worker("studio", "")
	f.completedOnce(f.submit())
	for what, want := range map[string]string{
		"workers":                    `(?m)^\w+ +studio +default +ios,android +0 of 1 +- +\S+ +idle$`,
		"stats":                      `(?m)^studio +1 +\d+ m?s +\d+ %$`,
		"stats --project none-of-it": `(?m)^all +0 +0 +0 +0 +0 +- +- +- +- +-$`,
	} {
		pattern := regexp.MustCompile(want)
		f.eventually(what, func() bool { return pattern.MatchString(f.says(strings.Fields(what)...)) })
	}
}
