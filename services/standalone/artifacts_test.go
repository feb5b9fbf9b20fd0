package standalone_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// keepingApp keeps the number of its attempt and noise; it fails if it is told to.
func keepingApp(t *testing.T, end string) *bytes.Buffer {
	t.Helper()
	return packed(t, map[string]string{"freeagent.json": `{"profiles":{"production":{"artifacts":["kept/**","none"],"result":"out.bin","stages":[{"name":"make","run":` +
		`"mkdir kept && echo $FREEAGENT_BUILD_ATTEMPT >kept/attempt && head -c 3000000 /dev/urandom >kept/noise && head -c 300000 /dev/urandom >out.bin && ` + end + `"}]}}}`})
}

// stuckProxy passes requests to a server. The second upload, that of artifacts, gets stuck in the middle.
func stuckProxy(t *testing.T, to string) (address string, stuck chan struct{}) {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	stuck = make(chan struct{})
	var uploads atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.ObjectsPath && r.Method == http.MethodPut && uploads.Add(1) == 2 {
			r.Body = &stuckBody{ReadCloser: r.Body, request: r, left: 1 << 20, stuck: stuck}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, stuck
}

// stuckBody gives its first bytes, and then nothing until its client has gone.
type stuckBody struct {
	io.ReadCloser

	request *http.Request
	left    int
	stuck   chan struct{}
}

func (b *stuckBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		close(b.stuck)
		<-b.request.Context().Done()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// keptBy returns the attempt whose artifacts a build has.
func (s *server) keptBy(b api.Build) string {
	s.t.Helper()
	var data bytes.Buffer
	if err := s.client().Builds.DownloadArtifacts(s.t.Context(), b, &data, 0, nil, nil); err != nil {
		s.t.Fatal(err)
	}
	z, err := gzip.NewReader(&data)
	if err != nil {
		s.t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			s.t.Fatalf("the archive has no kept/attempt: %v", err)
		}
		if h.Name == "kept/attempt" {
			text, err := io.ReadAll(r)
			if err != nil {
				s.t.Fatal(err)
			}
			return strings.TrimSpace(string(text))
		}
	}
}

// objectKinds returns "kind attempt state" of each stored object but logs.
func objectKinds(t testing.TB, dir string) (all []string) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: "sqlite://" + filepath.Join(dir, "artifact.db"), Service: "artifact"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Read().QueryContext(t.Context(), "SELECT kind || ' ' || attempt || ' ' || state FROM objects WHERE kind <> 4 ORDER BY kind, attempt")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *server) shellWorker(address, name string) *process {
	s.t.Helper()
	return run(s.t, []string{"FREEAGENT_API_KEY=" + s.Key()}, "worker", "--server", address, "--name", name, "--state-dir", s.t.TempDir(),
		"--work-dir", filepath.Join(s.t.TempDir(), "w"), "--executor", "shell", "--telemetry-interval", "0s")
}

// TestArtifactsOfAKilledWorker: a worker is killed while it uploads what its build kept. Another one repeats the attempt, the build has that one's
// files, and nothing of the first stays. A build that fails keeps its files, and they expire with their builds.
func TestArtifactsOfAKilledWorker(t *testing.T) {
	cfg := config(t)
	r := &cfg.Scheduler.Retention
	r.Notice, r.MinAge, r.Every = 0, 0, 50*time.Millisecond
	cfg.Scheduler.StageTTLs, cfg.Monitor.StageTTLs = build.DefaultTTLs(), build.DefaultTTLs()
	for stage := range cfg.Scheduler.StageTTLs {
		cfg.Scheduler.StageTTLs[stage], cfg.Monitor.StageTTLs[stage] = 2*time.Second, 2*time.Second
	}
	cfg.Artifact.TicketTTL, cfg.Artifact.StagedTTL, cfg.Artifact.JanitorInterval = 2*time.Second, 4*time.Second, 100*time.Millisecond
	cfg.Artifact.LogSettle = 100 * time.Millisecond
	s := start(t, cfg)
	address, stuck := stuckProxy(t, s.URL())
	doomed := s.shellWorker(address, "doomed")
	sub, err := s.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Project: "kept", Source: keepingApp(t, "true")})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-stuck:
	case <-time.After(time.Minute):
		t.Fatalf("no artifacts were uploaded within a minute: %s", doomed.out.String())
	}
	doomed.kill()
	s.shellWorker(s.URL(), "heir")
	b := s.ended(sub.ID)
	if b.Status != "completed" || len(b.Attempts) != 2 || b.Attempts[0].Outcome != "lost" || b.Artifacts == nil || b.Artifacts.Files != 2 || b.Artifacts.Problem != "" {
		t.Fatalf("build = %+v, artifacts %+v", b, b.Artifacts)
	}
	if by := s.keptBy(b); !strings.HasSuffix(by, ".2") {
		t.Errorf("the artifacts are those of attempt %s, want 2", by)
	}
	want := []string{"1 0 kept", "3 2 kept", "16 2 kept"}
	s.eventually("only what the build names is stored", func() bool { return slices.Equal(objectKinds(t, cfg.Dir), want) })

	if sub, err = s.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Project: "kept", Source: keepingApp(t, "exit 3")}); err != nil {
		t.Fatal(err)
	}
	failed := s.ended(sub.ID)
	if failed.Status != "failed" || failed.Stage != "make" || failed.Artifacts == nil || !strings.HasSuffix(s.keptBy(failed), ".1") {
		t.Errorf("failed build = %+v, artifacts %+v", failed, failed.Artifacts)
	}
	s.goes(cfg, b, failed)
}

// goes lets builds expire, and wants their artifacts gone with them.
func (s *server) goes(cfg standalone.Config, builds ...api.Build) {
	s.t.Helper()
	if _, err := s.client().Retention.Set(s.t.Context(), "", api.RetentionPolicy{MaxAgeSeconds: 1}); err != nil {
		s.t.Fatal(err)
	}
	for _, b := range builds {
		s.eventually("the artifacts of "+b.ID+" are gone", func() bool {
			err := s.client().Builds.DownloadArtifacts(s.t.Context(), b, io.Discard, 0, nil, nil)
			return errors.Is(err, build.ErrExpired)
		})
	}
	s.eventually("no object is stored", func() bool { return len(objectKinds(s.t, cfg.Dir)) == 0 && len(storedObjects(s.t, s)) == 0 })
}
