package standalone_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/embedbus"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// figures are the tables that sum up, and the workers under watch, which come and go: nothing in them names a build. Each other table must be as it was.
var figures = map[string]bool{
	"monitor.day_counts": true, "monitor.day_spreads": true, "monitor.day_workers": true, "monitor.counted_events": true,
	"monitor.silences": true, "monitor.workers": true, "scheduler.expired_attempts": true, "scheduler.retention_policies": true,
}

// rowCounts counts the rows of every table of a stopped installation.
func rowCounts(t *testing.T, dir string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, service := range []string{"scheduler", "artifact", "monitor", "ingest"} {
		maps.Copy(counts, rowsOf(t, dir, service))
	}
	return counts
}

// rowsOf counts the rows of one service's tables.
func rowsOf(t *testing.T, dir, service string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	db, err := database.Open(t.Context(), database.Config{URL: "sqlite://" + filepath.Join(dir, service+".db"), Service: service})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables(t, db) {
		var n int
		if err := db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if !figures[service+"."+table] {
			counts[service+"."+table] = n
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return counts
}

func tables(t *testing.T, db *database.DB) (names []string) {
	t.Helper()
	rows, err := db.Read().QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

// messagesOfBuilds lists the subjects that name builds in the streams of a stopped installation.
func messagesOfBuilds(t *testing.T, dir string) (subjects []string) {
	t.Helper()
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	public, err := issuer.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := embedbus.Start(embedbus.Config{Dir: filepath.Join(dir, "bus"), Listen: "127.0.0.1:0", Issuer: public, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	nc, err := srv.Connect("test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := bus.JetStream(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range bus.LimitedStreams() {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		for subject, n := range info.State.Subjects {
			if !strings.HasPrefix(subject, "fa.workers.") {
				subjects = append(subjects, fmt.Sprintf("%s (%d)", subject, n))
			}
		}
	}
	return subjects
}

// TestRetentionLeavesNothing runs builds of each kind and lets them expire. Afterwards no database, bucket or stream has more
// than a farm in which nothing was built.
func TestRetentionLeavesNothing(t *testing.T) {
	cfg := config(t)
	r := &cfg.Scheduler.Retention
	r.Notice, r.MinAge, r.Trace, r.Every = 0, 0, 3*time.Second, 50*time.Millisecond
	cfg.Artifact.LogSettle, cfg.Artifact.ExpiredMark, cfg.Artifact.JanitorInterval = 100*time.Millisecond, time.Second, 100*time.Millisecond
	cfg.Artifact.LogSweep = 100 * time.Millisecond
	cfg.Ingest.WebhookNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Listen = "127.0.0.1:" + freePort(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(receiver.Close)

	s := start(t, cfg)
	if _, err := s.client().Webhooks.Create(t.Context(), api.NewWebhook{URL: &receiver.URL}); err != nil {
		t.Fatal(err)
	}
	worker := s.joins(cfg)
	s.stop()
	empty, objects := rowCounts(t, cfg.Dir), len(storedObjects(t, s))

	s = start(t, cfg) // the worker comes back to it
	ids := s.buildAll()
	for _, table := range []string{"monitor.samples", "artifact.objects", "artifact.small_objects", "artifact.build_logs", "ingest.webhook_deliveries", "ingest.idempotency"} {
		service, _, _ := strings.Cut(table, ".")
		s.eventually(table+" has rows", func() bool { return rowsOf(t, cfg.Dir, service)[table] > empty[table] })
	}
	if _, err := s.client().Retention.Set(t.Context(), "", api.RetentionPolicy{MaxAgeSeconds: 1}); err != nil {
		t.Fatal(err)
	}
	s.expired(ids)
	worker.stop()
	s.eventually("every trace is gone", func() bool {
		got, err := s.client().Retention.Get(t.Context())
		return err == nil && got.Expired == 0 && got.Cleaning == 0
	})
	s.eventually("the marks of logs are gone", func() bool { return rowsOf(t, cfg.Dir, "artifact")["artifact.build_logs"] == 0 })
	s.stop()
	if left := storedObjects(t, s); len(left) != objects {
		t.Errorf("objects are left: %v", left)
	}
	if left := messagesOfBuilds(t, cfg.Dir); len(left) != 0 {
		t.Errorf("messages are left: %v", left)
	}
	if diff := cmp.Diff(empty, rowCounts(t, cfg.Dir)); diff != "" {
		t.Errorf("rows (-of a farm in which nothing was built +left):\n%s", diff)
	}
}

// joins starts a worker that measures often.
func (s *server) joins(cfg standalone.Config) *process {
	s.t.Helper()
	p := run(s.t, []string{"FREEAGENT_API_KEY=" + s.Key()}, "worker", "--server", s.URL(), "--name", "mac", "--slots", "4",
		"--state-dir", filepath.Join(cfg.Dir, "worker"), "--executor", "fake", "--fake", "fail=0.3,size=200KiB,slow=300ms", "--telemetry-interval", "100ms")
	s.eventually("the worker has joined", func() bool {
		list, err := s.client().Workers.List(s.t.Context())
		return err == nil && len(list.Workers) == 1 && list.Workers[0].Online
	})
	return p
}

func (s *server) eventually(what string, ok func() bool) {
	s.t.Helper()
	deadline, tick := time.After(60*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s: not within a minute", what)
		}
	}
}

// buildAll submits small and large sources, with a name and without, one that is cancelled and one that is retried, and waits for
// their ends.
func (s *server) buildAll() (ids []string) {
	s.t.Helper()
	noise := make([]byte, 200<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	for i := range 8 {
		more := map[string]string{}
		if i%2 == 0 {
			more["noise.bin"] = string(noise)
		}
		sub, err := s.client().Builds.Submit(s.t.Context(), api.Submit{
			Platform: "android", Project: fmt.Sprint("p", i%3), Source: packed(s.t, more),
			ReuseKey: func() (api.ReuseKey, error) { return api.ReuseKey{Key: strings.Repeat("ab", 32)}, nil },
		})
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, sub.ID)
		if i == 6 { // the last one is cancelled at once, before it can end
			s.measure(ids)
		}
	}
	if _, err := s.client().Builds.Cancel(s.t.Context(), ids[7]); err != nil {
		s.t.Fatal(err)
	}
	again, err := s.client().Builds.Retry(s.t.Context(), ids[0])
	if err != nil {
		s.t.Fatal(err)
	}
	ids = append(ids, again.ID)
	for _, id := range ids {
		s.eventually("build "+id+" ends", func() bool {
			b, err := s.client().Builds.Get(s.t.Context(), id)
			return err == nil && b.Final()
		})
	}
	return ids
}

// measure posts a sample of one of the builds while it is built.
func (s *server) measure(ids []string) {
	s.t.Helper()
	s.eventually("a sample is taken", func() bool {
		list, err := s.client().Builds.List(s.t.Context(), api.ListOptions{Status: []string{"building"}})
		if err != nil {
			return false
		}
		i := slices.IndexFunc(list.Builds, func(b api.Build) bool { return slices.Contains(ids, b.ID) })
		if i < 0 {
			return false
		}
		b := list.Builds[i]
		id := b.ID
		body := strings.NewReader(`{"type":"cpu_snapshot","timestamp":"2026-01-28T10:00:00Z","data":{"cpu_percent":99.5,"memory_mb":1024}}`)
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL()+"/api/builds/"+id+"/telemetry", body)
		if err != nil {
			s.t.Fatal(err)
		}
		for name, value := range map[string]string{"X-API-Key": s.Key(), "X-Worker-Id": b.WorkerID, "X-Build-Id": id, "Content-Type": "application/json"} {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
}

// expired waits until the builds have expired, and asks for one as both APIs' clients would.
func (s *server) expired(ids []string) {
	s.t.Helper()
	s.eventually("the builds have expired", func() bool {
		list, err := s.client().Builds.List(s.t.Context(), api.ListOptions{})
		return err == nil && len(list.Builds) == 0
	})
	_, err := s.client().Builds.Get(s.t.Context(), ids[0])
	if err == nil || !strings.Contains(err.Error(), "expired on") {
		s.t.Errorf("a build that has expired: %v", err)
	}
	for path, want := range map[string]int{"status": http.StatusOK, "download": http.StatusNotFound, "logs": http.StatusNotFound} {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL()+"/api/builds/"+ids[0]+"/"+path, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		req.Header.Set("X-API-Key", s.Key())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			s.t.Errorf("API v1: %s of an expired build = %d, want %d", path, resp.StatusCode, want)
		}
	}
}
