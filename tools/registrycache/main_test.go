package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func get(t *testing.T, url, accept string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestRegistry: a package is fetched once, lists of versions are asked for each time, and what was fetched is there without the upstream.
func TestRegistry(t *testing.T) {
	asked := map[string]int{}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		if r.URL.Path == "/none" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, r.URL.Path, " ", r.Header.Get("Accept"))
	}))
	defer upstream.Close()
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, filepath.Join(dir, "cache"), upstream.URL, ready) }()
	var url string
	for tick := time.NewTicker(5 * time.Millisecond); url == ""; <-tick.C {
		if text, err := os.ReadFile(ready); err == nil {
			url = string(text)
		}
	}
	tarball, list := url+"a/-/a-1.tgz", url+"a"
	for range 2 {
		if status, body := get(t, tarball, "*/*"); status != http.StatusOK || body != "/a/-/a-1.tgz */*" {
			t.Errorf("package: %d %q", status, body)
		}
		if status, body := get(t, list, "short"); status != http.StatusOK || body != "/a short" {
			t.Errorf("versions: %d %q", status, body)
		}
	}
	if status, _ := get(t, url+"none", ""); status != http.StatusNotFound {
		t.Errorf("a package that does not exist: %d", status)
	}
	if asked["/a/-/a-1.tgz"] != 1 || asked["/a"] != 2 {
		t.Errorf("the upstream was asked %v", asked)
	}
	upstream.Close()
	if status, body := get(t, list, "short"); status != http.StatusOK || body != "/a short" {
		t.Errorf("versions without the upstream: %d %q", status, body)
	}
	if status, _ := get(t, list, "long"); status != http.StatusBadGateway {
		t.Errorf("what was never fetched: %d", status)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
