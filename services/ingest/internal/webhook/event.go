package webhook

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Event is what happened. ID and Time are those of the event on the bus.
type Event struct {
	ID string
	// Name is build.completed, worker.offline and the like; Ping for a trial.
	Name    string
	Subject string
	Time    time.Time
	// Build as it is when the event is written; nil for a worker's, or one that is not known any more.
	Build *api.Build
	// BuildURL is the build in the API, LogURL its log.
	BuildURL, LogURL string
	// PageURL is where people look at it in a browser.
	PageURL string
	// Reason of build.waiting, build.retried and build.stalled.
	Reason string
}

// Ping is the event of a trial.
const Ping = "ping"

// EventNames are the events that there are.
func EventNames() []string {
	return []string{
		"build.submitted", "build.queued", "build.assigned", "build.started", "build.stage", "build.completed", "build.failed",
		"build.cancelled", "build.stalled", "build.retried", "build.waiting", "worker.registered", "worker.online", "worker.offline", Ping,
	}
}

// FinalEvents are the events that end a build.
func FinalEvents() []string { return []string{"build.completed", "build.failed", "build.cancelled"} }

// Defaults are what a webhook gets that asks for nothing. A commit has its status from the submit on, and not more of them than
// needed: GitHub takes a thousand for each commit.
func Defaults(f Format) []string {
	if f == GitHub {
		return append([]string{"build.submitted", "build.started"}, FinalEvents()...)
	}
	return FinalEvents()
}

// CheckPattern refuses a filter that no event can match: a name, or a pattern with * such as build.*.
func CheckPattern(pattern string) error {
	for _, name := range EventNames() {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return nil
		}
	}
	return fmt.Errorf("no event matches %.60q. Events are %v", pattern, EventNames())
}

// Matches says whether a webhook with these filters gets an event. Trials are for all.
func Matches(f Format, patterns []string, name string) bool {
	if name == Ping {
		return true
	}
	if f == EAS && !slices.Contains(FinalEvents(), name) {
		return false // there is no such thing there
	}
	if f == GitHub && !strings.HasPrefix(name, "build.") {
		return false
	}
	if len(patterns) == 0 {
		patterns = Defaults(f)
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
