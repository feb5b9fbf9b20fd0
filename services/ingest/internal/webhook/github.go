package webhook

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// GitHubURL is GitHub's API. That of an Enterprise server is https://HOST/api/v3.
const GitHubURL = "https://api.github.com"

// maxStatus is GitHub's limit of a description, in characters.
const maxStatus = 140

// status is a commit status of GitHub's API.
type status struct {
	State       string `json:"state"`
	TargetURL   string `json:"target_url,omitempty"`
	Description string `json:"description"`
	Context     string `json:"context"`
}

// gitHubBody renders the event, not the present state of the build, so that the last event is the
// last status.
func gitHubBody(e Event) any {
	if e.Build == nil {
		return struct{}{}
	}
	s := status{State: "pending", TargetURL: e.PageURL, Context: "freeagent/" + e.Build.Platform}
	if state := map[string]string{"build.completed": "success", "build.reused": "success", "build.failed": "failure", "build.cancelled": "error"}[e.Name]; state != "" {
		s.State = state
	}
	if e.Build.Profile != "" {
		s.Context += "/" + e.Build.Profile
	}
	s.Description = truncate(describe(e), maxStatus)
	return s
}

// describe returns a description of the event for people.
func describe(e Event) string {
	b := e.Build
	switch e.Name {
	case "build.submitted", "build.queued":
		return "Queued"
	case "build.assigned", "build.started":
		return "Building"
	case "build.stage":
		return withReason("Building", b.Stage)
	case "build.retried":
		return withReason("Retrying", e.Reason)
	case "build.completed":
		if d := (time.Duration(elapsedMs(b.AssignedAt, b.FinishedAt)) * time.Millisecond).Round(time.Second); d > 0 {
			return "Built in " + d.String()
		}
		return "Built"
	case "build.failed":
		return withReason("Failed", b.Error)
	case "build.cancelled":
		return "Cancelled"
	}
	what := strings.TrimPrefix(e.Name, "build.")
	return withReason(strings.ToUpper(what[:1])+what[1:], e.Reason)
}

func withReason(what, why string) string {
	if why = firstLine(why); why == "" {
		return what
	}
	return what + ": " + why
}

// truncate shortens s to at most most characters.
func truncate(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// Target returns the path of an event below the webhook's URL, "" for the URL itself. skip is the
// reason why an event has no receiver.
func Target(f Format, e Event) (path, skip string) {
	switch b := e.Build; {
	case f != GitHub:
		return "", ""
	case e.Name == Ping:
		return "/", ""
	case b == nil:
		return "", "the build no longer exists"
	case b.Commit == "" && b.Repository == "":
		return "", "the build was submitted without commit and repository"
	case b.Commit == "":
		return "", "the build was submitted without commit"
	case b.Repository == "":
		return "", "the build was submitted without repository"
	case b.Modified: // a status would speak of a commit that was not built
		return "", "the build is of modified files, not of its commit"
	default: // both were checked at the submit and need no escaping
		return "/repos/" + b.Repository + "/statuses/" + b.Commit, ""
	}
}

// Method returns the HTTP method of a delivery. A test of format github is a GET: it has no commit,
// and the response verifies the token.
func Method(f Format, event string) string {
	if f == GitHub && event == Ping {
		return http.MethodGet
	}
	return http.MethodPost
}

// Authorize sets the headers of a request to GitHub.
func Authorize(h http.Header, token []byte) {
	h.Set("Authorization", "Bearer "+string(token))
	h.Set("Accept", "application/vnd.github+json")
	h.Set("X-Github-Api-Version", "2022-11-28")
}

// AllowsToken reports whether a token may be sent to a URL: over TLS, or on the same machine.
func AllowsToken(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}
