package webhook

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Event is an event of a build or worker. ID and Time are those of the event on the bus.
type Event struct {
	ID string
	// Name is the event's name, such as build.completed or worker.offline, or Ping for a test.
	Name    string
	Subject string
	Time    time.Time
	// Build is the build when the event is rendered; nil for events of workers and of deleted
	// builds.
	Build *api.Build
	// BuildURL and LogURL are the URLs of the build and its log in the API.
	BuildURL, LogURL string
	// PageURL is the URL of the build's web page.
	PageURL string
	// Reason of build.waiting, build.retried and build.stalled.
	Reason string
}

// Ping is the test event.
const Ping = "ping"

// EventNames returns the names of all events.
func EventNames() []string {
	return []string{
		"build.submitted", "build.queued", "build.assigned", "build.started", "build.stage", "build.completed", "build.failed",
		"build.cancelled", "build.stalled", "build.retried", "build.waiting", "build.reused", "worker.registered", "worker.online", "worker.offline", Ping,
	}
}

// FinalEvents returns the events that end a build.
func FinalEvents() []string { return []string{"build.completed", "build.failed", "build.cancelled"} }

// Defaults returns the events of a webhook without filters. A commit gets its first status at the
// submit, and few in total: GitHub allows a thousand per commit.
func Defaults(f Format) []string {
	if f == GitHub {
		return append([]string{"build.submitted", "build.started"}, FinalEvents()...)
	}
	return FinalEvents()
}

// CheckPattern returns an error for a filter that matches no event. A filter is a name, or a
// pattern such as build.*.
func CheckPattern(pattern string) error {
	for _, name := range EventNames() {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return nil
		}
	}
	return fmt.Errorf("no event matches %.60q. Events are %v", pattern, EventNames())
}

// Matches reports whether a webhook with these filters gets an event. All get Ping.
func Matches(f Format, patterns []string, name string) bool {
	if name == Ping {
		return true
	}
	if f == EAS && !slices.Contains(FinalEvents(), name) {
		return false // EAS has no such events
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
