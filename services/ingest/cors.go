package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// anyOrigin allows every page.
const anyOrigin = "*"

// corsMaxAge is how many seconds a browser need not ask again whether it may ask.
const corsMaxAge = "600"

// allowOrigins lets scripts of the pages that the configuration names read the answer. No credentials are involved: what
// lies behind it is open to everybody.
func (g *Ingest) allowOrigins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && g.allowedOrigin(origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Content-Type, X-Request-Id")
			h.Set("Access-Control-Expose-Headers", requestIDHeader)
			h.Set("Access-Control-Max-Age", corsMaxAge)
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *Ingest) allowedOrigin(origin string) bool {
	return slices.Contains(g.cfg.StatsOrigins, origin) || slices.Contains(g.cfg.StatsOrigins, anyOrigin)
}

// validOrigins refuses what no browser would ever send, such as an address with a slash at its end.
func validOrigins(origins []string) error {
	var faults []error
	for _, o := range origins {
		u, err := url.Parse(o)
		if o != anyOrigin && (err != nil || u.Host == "" || o != u.Scheme+"://"+u.Host) {
			faults = append(faults, fmt.Errorf("StatsOrigins: %q, want scheme://host or scheme://host:port", o))
		}
	}
	return errors.Join(faults...)
}
