package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// Format is the format of a webhook's body.
type Format string

// The formats: CloudEvents in JSON, EAS build webhooks, Slack messages (also for compatible
// services such as Mattermost), GitHub commit statuses.
const (
	CloudEvents Format = "cloudevents"
	EAS         Format = "eas"
	Slack       Format = "slack"
	GitHub      Format = "github"
)

// Formats returns all formats.
func Formats() []Format { return []Format{CloudEvents, EAS, Slack, GitHub} }

// ContentType returns the content type of a body.
func (f Format) ContentType() string {
	if f == CloudEvents {
		return "application/cloudevents+json; charset=utf-8"
	}
	return "application/json; charset=utf-8"
}

// Accepted reports whether a response status means success.
func (f Format) Accepted(status int) bool {
	return status >= 200 && (status < 300 || f == EAS && status < 400)
}

// Render returns the body of an event.
func Render(f Format, e Event) ([]byte, error) {
	var body any
	switch f {
	case EAS:
		body = easBody(e)
	case Slack:
		body = map[string]string{"text": slackText(e)}
	case GitHub:
		body = gitHubBody(e)
	default:
		body = cloudEvent(e)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.Name, err)
	}
	return data, nil
}

type cloudData struct {
	Build    *api.Build `json:"build,omitempty"`
	BuildURL string     `json:"build_url,omitempty"`
	LogURL   string     `json:"log_url,omitempty"`
	Reason   string     `json:"reason,omitempty"`
}

func cloudEvent(e Event) any {
	return struct {
		SpecVersion string    `json:"specversion"`
		ID          string    `json:"id"`
		Source      string    `json:"source"`
		Type        string    `json:"type"`
		Subject     string    `json:"subject,omitempty"`
		Time        string    `json:"time"`
		ContentType string    `json:"datacontenttype"`
		Data        cloudData `json:"data"`
	}{
		"1.0", e.ID, "/freeagent", "freeagent." + e.Name, e.Subject, e.Time.UTC().Format(time.RFC3339Nano), "application/json",
		cloudData{e.Build, e.BuildURL, e.LogURL, e.Reason},
	}
}

// easBody has the fields of EAS build webhooks that have an equivalent.
func easBody(e Event) any {
	type m = map[string]any
	b := e.Build
	if b == nil {
		b = &api.Build{ID: e.Subject, Status: "completed", SubmittedAt: e.Time.UTC().Format(time.RFC3339)}
	}
	status := map[string]string{"completed": "finished", "failed": "errored", "cancelled": "canceled"}[b.Status]
	body := m{
		"id": b.ID, "projectName": b.Project, "buildDetailsPageUrl": e.BuildURL, "platform": b.Platform, "status": status,
		"createdAt": b.SubmittedAt, "completedAt": b.FinishedAt, "updatedAt": e.Time.UTC().Format(time.RFC3339), "priority": "normal",
		"metadata": m{"buildProfile": b.Profile}, "artifacts": m{}, "error": nil,
		"metrics": m{"buildWaitTime": elapsedMs(b.SubmittedAt, b.AssignedAt), "buildDuration": elapsedMs(b.AssignedAt, b.FinishedAt)},
	}
	if b.Status == "completed" && e.BuildURL != "" {
		body["artifacts"] = m{"buildUrl": e.BuildURL + "/result"}
	}
	if b.Status == "failed" {
		body["error"] = m{"message": b.Error, "errorCode": "UNKNOWN_ERROR"}
	}
	return body
}

// elapsedMs returns the milliseconds between two times, 0 if one is missing.
func elapsedMs(from, to string) int64 {
	a, err1 := time.Parse(time.RFC3339, from)
	b, err2 := time.Parse(time.RFC3339, to)
	if err1 != nil || err2 != nil {
		return 0
	}
	return b.Sub(a).Milliseconds()
}

// slackText returns the event in Slack's markup.
func slackText(e Event) string {
	if e.Build == nil {
		return slackEscape(strings.TrimSpace(e.Name + " " + e.Subject))
	}
	b := e.Build
	name := b.Project
	if name == "" {
		name = b.ID
	}
	text := fmt.Sprintf("*%s* for %s", slackEscape(name), b.Platform)
	if b.Profile != "" {
		text += " (" + slackEscape(b.Profile) + ")"
	}
	what := strings.TrimPrefix(e.Name, "build.")
	mark := map[string]string{"completed": ":white_check_mark:", "failed": ":x:", "cancelled": ":no_entry_sign:", "waiting": ":hourglass:"}[what]
	text = strings.TrimSpace(fmt.Sprintf("%s %s: %s", mark, text, what))
	if d := elapsedMs(b.AssignedAt, b.FinishedAt); d > 0 && what != "reused" {
		text += " after " + (time.Duration(d) * time.Millisecond).Round(time.Second).String()
	}
	if why := b.Error + e.Reason; why != "" {
		text += "\n> " + slackEscape(firstLine(why))
	}
	if e.BuildURL != "" {
		text += "\n<" + e.BuildURL + "|" + slackEscape(b.ID) + ">"
	}
	return text
}

// slackEscape escapes text for Slack.
func slackEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// maxLine bounds an error in a message, in bytes.
const maxLine = 500

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return text.Shorten(line, maxLine)
}
