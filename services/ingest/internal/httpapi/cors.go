package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// anyOrigin allows every origin.
const anyOrigin = "*"

// corsMaxAge is how long browsers may cache the permission, in seconds.
const corsMaxAge = "600"

// AllowOrigins lets scripts of these origins read the response. It is for public data only: no
// credentials are involved.
func AllowOrigins(origins []string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Add("Vary", "Origin")
			if origin := r.Header.Get("Origin"); origin != "" && (slices.Contains(origins, origin) || slices.Contains(origins, anyOrigin)) {
				h.Set("Access-Control-Allow-Origin", origin)
				h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
				h.Set("Access-Control-Allow-Headers", "Content-Type, X-Request-Id")
				h.Set("Access-Control-Expose-Headers", httpx.RequestIDHeader)
				h.Set("Access-Control-Max-Age", corsMaxAge)
			}
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// ValidOrigins rejects origins that no browser sends, such as one that ends with a slash.
func ValidOrigins(origins []string) error {
	var faults []error
	for _, o := range origins {
		u, err := url.Parse(o)
		if o != anyOrigin && (err != nil || u.Host == "" || o != u.Scheme+"://"+u.Host) {
			faults = append(faults, fmt.Errorf("statistics origin must be scheme://host or scheme://host:port (got %q)", o))
		}
	}
	return errors.Join(faults...)
}
