package pages

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Backend has the data of the pages and the rights of sessions.
type Backend interface {
	// Login checks an API key, or the token of the build buildID, and returns the secret of a new
	// session. It returns ErrRefused if the credential is wrong.
	Login(ctx context.Context, keyOrToken, buildID string) (secret string, err error)
	Logout(ctx context.Context, secret string) error
	// Rights returns the rights of a session; buildID is "" for pages that are not about one build.
	Rights(ctx context.Context, secret, buildID string) (Rights, error)
	// Builds returns a page of builds for a query of API v2.
	Builds(ctx context.Context, query url.Values) (api.BuildList, error)
	Build(ctx context.Context, id string) (api.Build, error)
	Cancel(ctx context.Context, id string) error
	// PublicError returns the message of an error for people, and its HTTP status.
	PublicError(err error) (sentence string, status int)
}

// Rights of a session.
type Rights struct{ Read, Cancel, List bool }

// ErrRefused means that the key or token is wrong.
var ErrRefused = errors.New("refused")

//go:embed assets templates
var files embed.FS

// Pages serves the web pages. Create it with New.
type Pages struct {
	backend   Backend
	ttl       time.Duration
	log       *slog.Logger
	templates map[string]*template.Template
	// assets have names that change with their content, so that browsers can cache them.
	assets map[string]asset
	names  map[string]string
}

type asset struct {
	contentType string
	data        []byte
}

// New parses the embedded templates. A session lasts for ttl.
func New(b Backend, ttl time.Duration, log *slog.Logger) (*Pages, error) {
	p := &Pages{backend: b, ttl: ttl, log: log, templates: map[string]*template.Template{}, assets: map[string]asset{}, names: map[string]string{}}
	if err := p.loadAssets(); err != nil {
		return nil, err
	}
	for _, name := range []string{"login", "list", "build", "message"} {
		t, err := template.New("").Funcs(p.funcs()).ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		p.templates[name] = t
	}
	return p, nil
}

func (p *Pages) loadAssets() error {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		return fmt.Errorf("open the pages' assets: %w", err)
	}
	for _, e := range entries {
		data, err := fs.ReadFile(files, path.Join("assets", e.Name()))
		if err != nil {
			return fmt.Errorf("open the pages' assets: %w", err)
		}
		sum := sha256.Sum256(data)
		name := hex.EncodeToString(sum[:6]) + "-" + e.Name()
		p.names[e.Name()], p.assets[name] = "/assets/"+name, asset{types[path.Ext(e.Name())], data}
	}
	return nil
}

// Routes of the pages, all at the root.
func (p *Pages) Routes(r chi.Router) {
	r.Get("/", p.list)
	r.Get("/builds/{id}", p.build)
	r.Post("/builds/{id}/cancel", p.cancel)
	r.Get("/login", p.login)
	r.Post("/login", p.enter)
	r.Post("/logout", p.leave)
	r.Get("/assets/{name}", p.asset)
}

func (p *Pages) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[chi.URLParam(r, "name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(a.data) // the browser may have disconnected
}
