// Command registrycache is an npm registry on this machine that keeps what it has fetched: `registrycache -dir DIR -ready FILE`. Scripts that
// build real projects use it, so that a run needs the network only for what is new. FILE gets its address once it serves.
//
// Packages never change and come from the directory if they are there. Lists of versions come from the upstream registry, and from the directory
// if that does not answer.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	dir := flag.String("dir", "", "directory of what was fetched")
	upstream := flag.String("upstream", "https://registry.npmjs.org", "registry to fetch from")
	ready := flag.String("ready", "", "file that gets the address")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *dir, *upstream, *ready); err != nil {
		fmt.Fprintln(os.Stderr, "registrycache:", err)
		os.Exit(1)
	}
}

// fetchTimeout bounds one fetch: the largest packages are compilers of 30 MB.
const fetchTimeout = 2 * time.Minute

func serve(ctx context.Context, dir, upstream, ready string) error {
	if dir == "" || ready == "" {
		return errors.New("usage: registrycache -dir DIR -ready FILE [-upstream URL]")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c := &cache{dir: dir, upstream: strings.TrimSuffix(upstream, "/"), client: &http.Client{Timeout: fetchTimeout}}
	srv := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	if err := os.WriteFile(ready, []byte("http://"+l.Addr().String()+"/"), 0o644); err != nil {
		return errors.Join(err, l.Close())
	}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type cache struct {
	dir      string
	upstream string
	client   *http.Client
}

// ServeHTTP answers with the file of a request, after it was fetched if need be.
func (c *cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	uri, accept := r.URL.RequestURI(), r.Header.Get("Accept")
	name := c.file(uri, accept)
	if _, err := os.Stat(name); err != nil || !strings.HasSuffix(r.URL.Path, ".tgz") {
		status, err := c.fetch(r.Context(), uri, accept, name)
		if status == http.StatusNotFound {
			http.NotFound(w, r)
			return
		}
		if _, there := os.Stat(name); err != nil && there != nil {
			http.Error(w, "upstream registry: "+err.Error(), http.StatusBadGateway)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, ".tgz") {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	http.ServeFile(w, r, name)
}

// file returns the name of a request's file. npm asks for short lists of versions by the Accept header.
func (c *cache) file(uri, accept string) string {
	if strings.HasSuffix(uri, ".tgz") {
		accept = ""
	}
	sum := sha256.Sum256([]byte(uri + "\n" + accept))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:16]))
}

func (c *cache) fetch(ctx context.Context, uri, accept, name string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.upstream+uri, nil)
	if err != nil {
		return 0, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, errors.New(resp.Status)
	}
	f, err := os.CreateTemp(c.dir, ".fetch-")
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(f, resp.Body)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(f.Name()))
	}
	return resp.StatusCode, nil
}
