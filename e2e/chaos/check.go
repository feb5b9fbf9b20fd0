package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Evidence is what clients were told, and what the system says when all is quiet again.
type Evidence struct {
	Calls  []Call
	Builds map[string]Build
	// Stuck are builds that waited while workers were idle, with what was seen.
	Stuck map[string]string
	// Delivered are the events that the webhook was sent, by build, in the order of their first arrival.
	Delivered map[string][]string
	// Figures are the gateway's of today.
	Figures api.DayStats
	// Leftovers are rows, messages and objects that belong to nothing.
	Leftovers []string
	// Starts are the projects of the order probe in the order in which their builds started.
	Starts []string
}

// Build is one build at the end.
type Build struct {
	api.Build
	// Events are its events in the event log, each once by its id.
	Events []Event
	// Made is what the result says of the attempt that made it; Broken what was wrong with downloading it.
	Made, Broken string
	Log          []api.LogLine
}

// Violation is a promise that was broken.
type Violation struct {
	Promise string `json:"promise"`
	Build   string `json:"build"`
	What    string `json:"what"`
}

func (v Violation) String() string { return v.Promise + ": build " + v.Build + ": " + v.What }

// The promises, by the numbers of the invariants in docs/architecture.md.
const (
	promiseKept    = "1 an acknowledged build ends in exactly one final state"
	promiseCancel  = "1 an acknowledged cancel is one"
	promiseLease   = "2 at most one attempt holds a build"
	promiseFence   = "2 only the attempt that holds the build finishes it"
	promiseDurable = "4 a completed build's result is there and whole"
	promiseLog     = "4 an attempt's log has no holes"
	promiseOnce    = "1 a submit is one build"
	promiseServed  = "3 no build waits while a worker that can build it is idle"
	promiseFair    = "3 projects that wait take turns"
	promiseHook    = "webhooks are sent each end of a build, once or more"
	promiseFigures = "figures count what happened"
	promiseTidy    = "nothing is left over"
)

// Check gives every promise that the evidence shows broken. It looks at builds whose submit was not acknowledged too: nobody was
// promised that they exist, but if they do, they are builds like all.
func Check(e Evidence) (found []Violation) {
	say := func(promise, build, format string, args ...any) {
		found = append(found, Violation{promise, build, fmt.Sprintf(format, args...)})
	}
	for _, c := range e.Calls {
		b, exists := e.Builds[c.Build]
		switch {
		case !c.Acknowledged:
		case !exists:
			say(promiseKept, c.Build, "it was acknowledged at %s and is gone", c.End.Format(time.TimeOnly))
		case c.Kind == cancel && b.Status != "cancelled":
			say(promiseCancel, c.Build, "its cancel was acknowledged and it is %s", b.Status)
		}
	}
	e.checkFarm(say)
	for id, b := range e.Builds {
		for _, v := range b.violations() {
			v.Build = id
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Promise, b.Promise), cmp.Compare(a.Build, b.Build))
	})
	return found
}

func (b Build) violations() (found []Violation) {
	say := func(promise, format string, args ...any) {
		found = append(found, Violation{Promise: promise, What: fmt.Sprintf(format, args...)})
	}
	if !b.Final() {
		say(promiseKept, "it is %s long after the last fault", b.Status)
	}
	if finals := b.finals(); b.Final() && !slices.Equal(finals, []string{b.Status}) {
		say(promiseKept, "it is %s, its final events are %v", b.Status, finals)
	}
	b.checkAttempts(say)
	b.checkLeases(say)
	if b.Status == "completed" {
		switch holder := b.winner(); {
		case b.Broken != "":
			say(promiseDurable, "%s", b.Broken)
		case b.Made != fmt.Sprintf("%s.%d", b.ID, holder):
			say(promiseFence, "attempt %d completed it, the result was made by %q", holder, b.Made)
		}
	}
	b.checkControlLines(say)
	for n, holes := range holesByAttempt(b.Log) {
		say(promiseLog, "attempt %d: %s", n, holes)
	}
	if b.Status == "completed" {
		if got, want := stepsOf(b.Log, b.winner()), wholeLog(b.Log, b.winner()); got < want {
			say(promiseLog, "attempt %d completed it and has %d of %d lines", b.winner(), got, want)
		}
	}
	return found
}

// winner is the number of the attempt that completed the build, 0 if none did.
func (b Build) winner() int {
	for _, a := range b.Attempts {
		if a.Outcome == "completed" {
			return a.Number
		}
	}
	return 0
}

// checkAttempts wants attempts one after the other, and one that completed at most.
func (b Build) checkAttempts(say func(promise, format string, args ...any)) {
	completed := 0
	var until time.Time
	for i, a := range b.Attempts {
		claimed, err1 := time.Parse(time.RFC3339Nano, a.ClaimedAt)
		ended, err2 := time.Parse(time.RFC3339Nano, a.EndedAt)
		if err1 != nil || err2 != nil && b.Final() {
			say(promiseLease, "attempt %d is %s from %q to %q", a.Number, a.Outcome, a.ClaimedAt, a.EndedAt)
			continue
		}
		if claimed.Before(until) {
			say(promiseLease, "attempt %d was claimed at %s, before the one before it ended at %s", a.Number, a.ClaimedAt, b.Attempts[i-1].EndedAt)
		}
		if until = ended; a.Outcome == "completed" {
			completed++
		}
	}
	if want := map[bool]int{true: 1}[b.Status == "completed"]; completed != want {
		say(promiseFence, "it is %s and %d attempts completed it", b.Status, completed)
	}
}
