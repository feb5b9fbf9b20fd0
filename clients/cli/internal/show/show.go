// Package show prints builds for people, and as JSON for scripts.
package show

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// JSON prints v as one line of JSON.
func JSON(w io.Writer, v any) error {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// Each prints one line of JSON per element.
func Each[T any](w io.Writer, all []T) error {
	for _, v := range all {
		if err := JSON(w, v); err != nil {
			return err
		}
	}
	return nil
}

// Size formats a number of bytes.
func Size(n int64) string { return text.Size(n) }

// Count formats a number with a comma between thousands.
func Count(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Duration formats a duration with at most two units.
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
	}
}

func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// Ago formats the time since an RFC 3339 timestamp, "-" without one.
func Ago(text string, now time.Time) string {
	t := parseTime(text)
	if t.IsZero() {
		return "-"
	}
	return Duration(max(0, now.Sub(t))) + " ago"
}

// Until formats the time until an expected RFC 3339 timestamp, "" without one.
func Until(text string, now time.Time) string {
	t := parseTime(text)
	switch {
	case t.IsZero():
		return ""
	case t.Sub(now) < time.Minute:
		return "within a minute"
	default:
		return "in about " + Duration(t.Sub(now).Round(time.Minute))
	}
}

// Took formats how long a worker has had the build, "-" if none has.
func Took(b api.Build, now time.Time) string {
	begun, ended := parseTime(b.AssignedAt), parseTime(b.FinishedAt)
	if begun.IsZero() {
		return "-"
	}
	if ended.IsZero() {
		ended = now
	}
	return Duration(max(0, ended.Sub(begun)))
}

// colour returns the ANSI code of a status, "" for none.
func colour(status string) string {
	switch status {
	case "completed":
		return "32"
	case "failed":
		return "31"
	case "cancelled":
		return "33"
	case "building", "assigned":
		return "36"
	}
	return ""
}

// Status colours a status on a terminal.
func Status(s session.IO, status string) string {
	if c := colour(status); c != "" && s.OutTTY && s.Getenv("NO_COLOR") == "" {
		return "\x1b[" + c + "m" + status + "\x1b[0m"
	}
	return status
}

// Build prints the details of a build.
func Build(s session.IO, b api.Build) error {
	now := s.Now()
	tw := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" && value != "-" {
			fmt.Fprintf(tw, "%s\t%s\n", name, Safe(value))
		}
	}
	row("Build", b.ID)
	row("Status", Status(s, b.Status))
	row("Project", b.Project)
	row("Platform", b.Platform)
	row("Profile", b.Profile)
	row("Build number", b.BuildNumber)
	row("Requires", b.Requires.String())
	row("Repository", b.Repository)
	row("Branch", b.Branch)
	row("Commit", b.Commit)
	row("Stage", b.Stage)
	row("Worker", strings.TrimSpace(b.WorkerName))
	row("Waiting", b.WaitingFor)
	if b.Position > 0 {
		row("Position", fmt.Sprint(b.Position))
	}
	row("Starts", Until(b.ExpectedStart, now))
	row("Submitted", Ago(b.SubmittedAt, now))
	row("Took", Took(b, now))
	row("Error", b.Error)
	row("Retry of", b.RetryOf)
	row("Repacked", repacked(b))
	row("Reused", Reuses(b, now))
	row("Fingerprint", b.Fingerprint)
	if b.Pin != nil {
		row("Pinned", strings.Join(nonEmpty(Ago(b.Pin.PinnedAt, now), b.Pin.Note), ", "))
	}
	files(row, b)
	for _, a := range b.Attempts {
		if len(b.Attempts) > 1 {
			row(fmt.Sprintf("Attempt %d", a.Number), strings.Join(nonEmpty(a.Outcome, "on "+a.WorkerName, a.Error), ", "))
		}
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// files prints what the build delivered.
func files(row func(name, value string), b api.Build) {
	if b.Result != nil {
		row("Result", fmt.Sprintf("%s, %s", b.Result.Name, Size(b.Result.Size)))
		row("SHA-256", b.Result.SHA256)
	}
	if o := b.Artifacts.Object(); o != nil {
		row("Artifacts", fmt.Sprintf("%d files, %s, SHA-256 %s", b.Artifacts.Files, Size(o.Size), o.SHA256))
	}
	if b.Artifacts != nil {
		row("Artifacts", b.Artifacts.Problem)
	}
}

// repacked says from which build, and how the result is signed; empty for a native build.
func repacked(b api.Build) string {
	if b.RepackFrom == "" {
		return ""
	}
	return fmt.Sprintf("from build %s, %s", b.RepackFrom, b.Signing)
}

// Reuses says how often a build was reused: "3 times, last 2 h 5 min ago"; empty if never.
func Reuses(b api.Build, now time.Time) string {
	if b.Reuses == 0 {
		return ""
	}
	times := "once"
	if b.Reuses > 1 {
		times = fmt.Sprintf("%d times", b.Reuses)
	}
	if b.LastReusedAt != "" {
		times += ", last " + Ago(b.LastReusedAt, now)
	}
	return times
}

func nonEmpty(words ...string) []string {
	var out []string
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

// Line prints a log line, prefixed with its level if that is warn or error. Pipes get the same
// filtered text as terminals, since they may end at one (a pager, a CI job). The unfiltered line is
// in the JSON output.
func Line(s session.IO, l api.LogLine) {
	mark := ""
	if l.Level == "warn" || l.Level == "error" {
		mark = l.Level + ": "
		if s.OutTTY && s.Getenv("NO_COLOR") == "" {
			mark = map[string]string{"warn": "\x1b[33m", "error": "\x1b[31m"}[l.Level] + mark + "\x1b[0m"
		}
	}
	fmt.Fprintln(s.Out, mark+Safe(l.Text))
}

// Outcome returns an ExitError for a build that failed or was cancelled, nil for any other.
func Outcome(b api.Build) error {
	switch b.Status {
	case "failed":
		return &session.ExitError{Code: session.ExitBuildFailed, Err: fmt.Errorf("build %s failed: %s", b.ID, Safe(b.Error))}
	case "cancelled":
		return &session.ExitError{Code: session.ExitCancelled, Err: fmt.Errorf("build %s was cancelled", b.ID)}
	}
	return nil
}

// Progress shows transferred bytes on one line of a terminal. It prints nothing elsewhere.
type Progress struct {
	s     session.IO
	what  string
	total int64
	done  int64
	began time.Time
	drawn time.Time
}

// NewProgress starts a progress line. A total of 0 is unknown.
func NewProgress(s session.IO, what string, total int64) *Progress {
	return &Progress{s: s, what: what, total: total, began: s.Now()}
}

// drawEvery limits how often the line is drawn.
const drawEvery = 100 * time.Millisecond

// Add counts n more bytes.
func (p *Progress) Add(n int) {
	p.done += int64(n)
	now := p.s.Now()
	if !p.s.ErrTTY || now.Sub(p.drawn) < drawEvery {
		return
	}
	p.drawn = now
	text := Size(p.done)
	if p.total > 0 {
		text = fmt.Sprintf("%s of %s, %d %%", text, Size(p.total), 100*p.done/p.total)
	}
	if spent := now.Sub(p.began).Seconds(); spent > 0.5 {
		text += fmt.Sprintf(", %s/s", Size(int64(float64(p.done)/spent)))
	}
	fmt.Fprintf(p.s.Err, "\r\x1b[K%s %s", p.what, text)
}

// Done clears the line.
func (p *Progress) Done() {
	if p.s.ErrTTY && !p.drawn.IsZero() {
		fmt.Fprint(p.s.Err, "\r\x1b[K")
	}
}

// Bytes returns the number of bytes transferred.
func (p *Progress) Bytes() int64 { return p.done }
