package standalone_test

import (
	"archive/zip"
	"bytes"
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
)

// server is a whole installation in the test's process. Only one can run at a time (the S3 endpoint's rule), so these tests
// are not parallel.
type server struct {
	*standalone.App
	t    testing.TB
	stop func()
}

func config(t testing.TB) standalone.Config {
	t.Helper()
	cfg := standalone.DefaultConfig()
	cfg.Dir, cfg.Listen = t.TempDir(), "127.0.0.1:0"
	cfg.Scheduler.Backoff = 0
	if testing.Verbose() {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return cfg
}

func start(t testing.TB, cfg standalone.Config, more ...standalone.Part) *server {
	t.Helper()
	app, err := standalone.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- app.Run(ctx, func() { close(ready) }, more...) }()
	s := &server{App: app, t: t}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(s.stop)
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("Run = %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("not ready after 30 s")
	}
	return s
}

func (s *server) client() *api.Client {
	s.t.Helper()
	c, err := api.New(api.Config{BaseURL: s.URL(), Key: s.Key()})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// project is a small source archive.
func project(t testing.TB) *bytes.Buffer {
	t.Helper()
	return packed(t, nil)
}

// packed is a project with more files.
func packed(t testing.TB, more map[string]string) *bytes.Buffer {
	t.Helper()
	files := map[string]string{
		"package.json": `{"name":"hello","dependencies":{"expo":"*"}}`, "package-lock.json": "{}", "app.json": `{"expo":{"name":"Hello","slug":"hello"}}`,
	}
	maps.Copy(files, more)
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	if _, err := archive.PackTarGz(t.Context(), &buf, dir, archive.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// evilArchive has an entry that would be written outside of where it is unpacked.
func evilArchive(t testing.TB) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, name := range []string{"package.json", "../../etc/cron.d/evil"} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// storedObjects lists the files of the S3 endpoint's bucket.
func storedObjects(t testing.TB, s *server) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.Dir(), "objects", "objects", "freeagent"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
