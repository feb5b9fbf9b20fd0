package webhook

import (
	"net/url"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

const (
	// minSecret is also the minimum of EAS. maxSecret, maxURL and maxText bound stored values, in
	// bytes.
	minSecret, maxSecret = 16, 256
	maxURL, maxText      = 2048, 200
	maxToken             = 1024
	// maxPatterns bounds the filters of one webhook.
	maxPatterns = 50
)

// Apply applies a request to a webhook. Absent fields keep their value. secret is the new secret,
// "" if it stays.
func (s *Service) Apply(w *store.Webhook, in api.NewWebhook) (secret string, err error) {
	was := *w
	if in.URL != nil {
		w.URL = *in.URL
	}
	if in.Format != nil {
		w.Format = *in.Format
	}
	if in.URL == nil && w.Format == string(GitHub) && was.Format != w.Format { // the old URL belongs to another receiver
		w.URL = GitHubURL
	}
	if err := s.applyToken(was, w, in.Token); err != nil {
		return "", err
	}
	if in.Events != nil {
		w.Events = *in.Events
	}
	if in.Project != nil {
		w.Project = *in.Project
	}
	if in.Description != nil {
		w.Description = *in.Description
	}
	if in.Enabled != nil {
		w.Enabled = *in.Enabled
	}
	if in.Secret != nil {
		secret = *in.Secret
		if len(secret) < minSecret || len(secret) > maxSecret {
			return "", httpx.Refuse(build.ErrInvalid, "The secret must have %d to %d bytes (got %d)", minSecret, maxSecret, len(secret))
		}
	}
	return secret, check(*w)
}

// applyToken applies the token. A new URL requires the token again, so that nobody can redirect it
// elsewhere.
func (s *Service) applyToken(was store.Webhook, w *store.Webhook, token *string) error {
	if w.Format != string(GitHub) {
		w.Token = ""
		if token != nil {
			return httpx.Refuse(build.ErrInvalid, "token is only allowed with format %s", GitHub)
		}
		return nil
	}
	switch {
	case token == nil && (was.Token == "" || was.URL != w.URL):
		return httpx.Refuse(build.ErrInvalid, "token is required for each new url. It needs permission to write commit statuses")
	case token == nil:
		return nil
	case *token == "" || len(*token) > maxToken || strings.ContainsFunc(*token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return httpx.Refuse(build.ErrInvalid, "token must be 1 to %d printable characters without spaces", maxToken)
	}
	w.Token = s.Seal(tokenSealID(w.ID), *token)
	return nil
}

func check(w store.Webhook) error {
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || len(w.URL) > maxURL:
		return httpx.Refuse(build.ErrInvalid, "url must be http:// or https:// with a host, at most %d bytes", maxURL)
	case w.Format == string(GitHub) && (u.RawQuery != "" || !AllowsToken(u)):
		return httpx.Refuse(build.ErrInvalid, "url must be https:// without a query, since it receives the token")
	case u.User != nil || u.Fragment != "":
		return httpx.Refuse(build.ErrInvalid, "url must not contain a user or a fragment")
	case !slices.Contains(Formats(), Format(w.Format)):
		return httpx.Refuse(build.ErrInvalid, "format must be one of %v (got %.40q)", Formats(), w.Format)
	case len(w.Events) > maxPatterns || len(w.Project) > maxText || len(w.Description) > maxText:
		return httpx.Refuse(build.ErrInvalid, "A webhook has at most %d events, and at most %d bytes of project and of description", maxPatterns, maxText)
	}
	for _, p := range w.Events {
		if err := CheckPattern(p); err != nil {
			return httpx.Refuse(build.ErrInvalid, "events: %v", err)
		}
	}
	return nil
}
