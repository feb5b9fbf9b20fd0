//go:build e2e

package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// smallDisk mounts a disk of so many megabytes until the test ends.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skipf("a small disk can only be mounted by root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return disk
}

// fill takes all the space of a disk that is left now.
func fill(t *testing.T, disk string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(disk, "filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// browser asks the gateways without a second try.
type browser struct {
	t      *testing.T
	c      *cluster.Cluster
	client *http.Client
}

func newBrowser(t *testing.T, c *cluster.Cluster) browser {
	t.Helper()
	transport, err := tlsfiles.HTTP(c.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	return browser{t, c, &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

func (b browser) do(method, path, contentType string, body io.Reader) (status int, header http.Header, answer []byte) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.c.URL()+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", b.c.Key())
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, data
}

// submit sends a form of API v1, which every client's is like.
func (b browser) submit(source io.Reader) (status int, retryAfter string) {
	b.t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	err := w.WriteField("platform", "ios")
	if err == nil {
		var part io.Writer
		if part, err = w.CreateFormFile("source", "app.zip"); err == nil {
			_, err = io.Copy(part, source)
		}
	}
	if err := errors.Join(err, w.Close()); err != nil {
		b.t.Fatal(err)
	}
	status, header, _ := b.do(http.MethodPost, "/api/builds/submit", w.FormDataContentType(), &form)
	return status, header.Get("Retry-After")
}

// problems are those of /health.
func (b browser) problems() string {
	b.t.Helper()
	_, _, data := b.do(http.MethodGet, "/health", "", nil)
	var health struct {
		Problems []string `json:"problems"`
	}
	if err := json.Unmarshal(data, &health); err != nil {
		b.t.Fatalf("/health: %v in %s", err, data)
	}
	return strings.Join(health.Problems, " ")
}

// eventually wants ok within two minutes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(2 * time.Minute); !ok(); {
		if time.Now().After(until) {
			t.Fatalf("after two minutes not yet: %s", what)
		}
		<-tick.C
	}
}

// logLines counts the lines of a process's log that have the text.
func logLines(t *testing.T, dir, process, text string) (n int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "log", process+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), text)
}

// TestFullDisksOfTheBus: two of three nodes of the bus run out of disk while builds run. Submits get 503 with Retry-After, gateways stay
// ready, /health and one line in the log of each scheduler name the streams and both nodes. When these have space and were restarted,
// everything that was acknowledged comes to its end, and every log is read and archived.
func TestFullDisksOfTheBus(t *testing.T) {
	full := []string{"nats-1", "nats-2"}
	disks := map[string]string{}
	var dir string
	c := start(t, func(cfg *cluster.Config) {
		dir = cfg.Dir
		cfg.Fake, cfg.Services = "slow=2s,lines=200", []string{"FREEAGENT_LOG_ARCHIVE_DELAY=2s"}
		for _, node := range full {
			disks[node] = smallDisk(t, 300)
			if err := os.Symlink(disks[node], filepath.Join(dir, node)); err != nil {
				t.Fatal(err)
			}
		}
	})
	b, patient := newBrowser(t, c), client(t, c, 2*time.Minute)
	var ids []string
	for range 10 {
		sub, err := patient.Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: source(t)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sub.ID)
	}
	eventually(t, "a build runs", func() bool {
		v, err := patient.Builds.Get(t.Context(), ids[0])
		return err == nil && v.Status == "building"
	})
	for _, disk := range disks {
		fill(t, disk)
	}
	began := time.Now()
	b.refusedWhileFull(full, func() {
		for _, disk := range disks {
			fill(t, disk) // what shrinks meanwhile does not help
		}
	})
	t.Logf("submits are refused and the nodes named %s after the disks were full: %s", time.Since(began).Round(time.Second), b.problems())
	for _, node := range full {
		if err := os.Remove(filepath.Join(disks[node], "filler")); err != nil {
			t.Fatal(err)
		}
	}
	restartAll(t, c, full)
	restarted := time.Now()
	eventually(t, "no problem is left", func() bool { return b.problems() == "" })
	sub, err := patient.Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: source(t)})
	if err != nil {
		t.Fatal(err)
	}
	logsKept(t, patient, append(ids, sub.ID))
	t.Logf("all %d builds ended, and their logs were read and archived, %s after the restart", len(ids)+1, time.Since(restarted).Round(time.Second))
	for _, p := range c.Processes() {
		if p.Kind == "scheduler" {
			if begin, end := logLines(t, dir, p.Name, "bus cannot store"), logLines(t, dir, p.Name, "bus stores again"); begin != 1 || end != 1 {
				t.Errorf("the log of %s tells %d times that the bus cannot store and %d times that it does again, want once each", p.Name, begin, end)
			}
		}
	}
}

// allReplicas is how many requests in a row both of two replicas answer, but for one time in 4,096.
const allReplicas = 12

// refusedWhileFull wants what clients and operators are to see.
func (b browser) refusedWhileFull(nodes []string, refill func()) {
	b.t.Helper()
	named := func() bool {
		text := b.problems()
		for _, word := range append([]string{"cannot store", "BUILD_EVENTS"}, nodes...) {
			if !strings.Contains(text, word) {
				return false
			}
		}
		return true
	}
	eventually(b.t, "/health names the streams and the nodes", func() bool { refill(); return named() })
	if text := b.problems(); strings.Contains(text, "nats-3") {
		b.t.Errorf("/health names a node that stores: %s", text)
	}
	// Each scheduler replica finds out for itself. A submit that the last of them accepts meanwhile is stored in SQL.
	refused := 0
	eventually(b.t, "every scheduler refuses submits", func() bool {
		status, retryAfter := b.submit(source(b.t))
		if refused++; status != http.StatusServiceUnavailable {
			refused = 0
		} else if retryAfter == "" {
			b.t.Error("submit = 503 without Retry-After")
		}
		return refused == allReplicas
	})
	for range 4 { // both gateways
		if status, _, body := b.do(http.MethodGet, "/readyz", "", nil); status != http.StatusOK {
			b.t.Errorf("/readyz = %d %s", status, body)
		}
	}
}

func restartAll(t *testing.T, c *cluster.Cluster, names []string) {
	t.Helper()
	for _, p := range c.Processes() {
		for _, name := range names {
			if p.Name != name {
				continue
			}
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// logsKept wants every build ended, its log read to its end, and archived.
func logsKept(t *testing.T, c *api.Client, ids []string) {
	t.Helper()
	for _, id := range ids {
		var b api.Build
		eventually(t, "build "+id+" ends", func() bool {
			var err error
			b, err = c.Builds.Get(t.Context(), id)
			return err == nil && b.Final()
		})
		if b.Status != "completed" && !strings.Contains(b.Error, "lost") {
			t.Errorf("build %s is %s: %s", id, b.Status, b.Error)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		lines := 0
		_, err := c.Builds.FollowLog(ctx, id, func(api.LogLine) error { lines++; return nil })
		cancel()
		if err != nil || lines < 200 && b.Status == "completed" {
			t.Errorf("log of %s: %d lines, %v", id, lines, err)
		}
	}
	for _, id := range ids {
		eventually(t, "the log of "+id+" is archived", func() bool {
			b, err := c.Builds.Get(t.Context(), id)
			return err == nil && b.Log != nil && b.Log.ArchivedAt != ""
		})
	}
}
