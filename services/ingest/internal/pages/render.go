package pages

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// policy is the content security policy. Scripts set inline styles through the CSSOM, which it
// permits.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var out bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&out, "layout", data); err != nil {
		p.log.ErrorContext(r.Context(), "render page failed", "page", name, "err", err)
		http.Error(w, "Internal server error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // the browser may have disconnected
}

// message is the data of a page with a single message.
type message struct {
	Title, Text string
	Session     bool
}

func (p *Pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	text, status := p.backend.PublicError(err)
	if status >= http.StatusInternalServerError {
		p.log.ErrorContext(r.Context(), "serve page failed", "path", r.URL.Path, "err", err)
	}
	p.render(w, r, status, "message", message{Title: http.StatusText(status), Text: text, Session: true})
}

func (p *Pages) funcs() template.FuncMap {
	return template.FuncMap{
		"asset": func(name string) string { return p.names[name] },
		"when":  when,
		"took":  func(b api.Build) string { return took(b, time.Now()) },
		"bytes": size,
		"short": func(sum string) string { return sum[:min(len(sum), 12)] },
		"title": func(s string) string {
			if s == "" {
				return s
			}
			return strings.ToUpper(s[:1]) + strings.ReplaceAll(s[1:], "_", " ")
		},
	}
}

// when formats a time in UTC. Scripts replace it by the local time.
func when(at string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return ""
	}
	return t.UTC().Format("2 Jan 2006 15:04 MST")
}

// took formats how long a build has been running, or ran.
func took(b api.Build, now time.Time) string {
	begin, err := time.Parse(time.RFC3339, b.StartedAt)
	if err != nil {
		return ""
	}
	if end, err := time.Parse(time.RFC3339, b.FinishedAt); err == nil {
		now = end
	}
	return spaced(now.Sub(begin))
}

// spaced formats a duration as the page's script does: 1h 2m 3s.
func spaced(d time.Duration) string {
	text := max(d, 0).Round(time.Second).String()
	return strings.TrimSpace(strings.NewReplacer("h", "h ", "m", "m ").Replace(text))
}
