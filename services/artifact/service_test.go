package artifact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus/bustest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	good := artifact.DefaultConfig()
	good.TicketKey, good.MasterKey = make([]byte, 32), make([]byte, 32)
	if err := good.Validate(); err != nil {
		t.Errorf("the defaults with keys: %v", err)
	}
	fields := reflect.TypeFor[artifact.Config]()
	for i := range fields.NumField() {
		bad := good
		switch f := reflect.ValueOf(&bad).Elem().Field(i); {
		case f.CanInt():
			f.SetInt(-1)
		case f.Type() == reflect.TypeFor[[]string]():
			f.Set(reflect.ValueOf([]string{"release/["}))
		case f.Kind() == reflect.Slice:
			f.SetBytes(nil)
		default:
			continue
		}
		if bad.Validate() == nil {
			t.Errorf("%s: no fault found", fields.Field(i).Name)
		}
	}
	empty := artifact.Config{}.Validate()
	if empty == nil || strings.Count(empty.Error(), "\n") < fields.NumField()/2 {
		t.Errorf("empty configuration: %v, want every fault", empty)
	}
	for name, change := range map[string]func(*artifact.Config){
		"certs too large": func(c *artifact.Config) { c.MaxCertsBytes = 1 << 30 },
		"short staging":   func(c *artifact.Config) { c.StagedTTL = c.TicketTTL },
		"patient stall":   func(c *artifact.Config) { c.StallTimeout = c.StaleUploadAge },
	} {
		bad := good
		if change(&bad); bad.Validate() == nil {
			t.Errorf("%s: no fault found", name)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	cfg := artifact.Config{TicketKey: []byte("hush-hush"), MasterKey: []byte("hush-hush")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", cfg, "key", cfg.TicketKey)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", cfg, "key", cfg.TicketKey)
	data, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %x %q", cfg, cfg, cfg, cfg.TicketKey, cfg.TicketKey, cfg.TicketKey), log.String(), string(data)} {
		if strings.Contains(text, "hush") || strings.Contains(text, fmt.Sprintf("%x", "hush")) {
			t.Errorf("a key shows: %s", text)
		}
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := artifact.New(artifact.DefaultConfig(), artifact.Deps{})
	for _, name := range []string{"ticket key", "master key", "DB", "Store", "Conn", "Log"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New = %v, which does not name %s", err, name)
		}
	}
}

func probe(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := do(req)
	return a.status, string(a.body)
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/": 404} {
		if got, body := probe(t, f.url+path); got != want {
			t.Errorf("%s = %d %s, want %d", path, got, body, want)
		}
	}
	f.bus.Stop()
	f.eventually("the bus is missed", func() bool { _, why := probe(t, f.url+"/health"); return strings.Contains(why, "bus") })
	if got, _ := probe(t, f.url+"/livez"); got != 200 {
		t.Errorf("/livez = %d without a bus", got)
	}
}

func TestNotReadyBeforeRun(t *testing.T) {
	t.Parallel()
	cfg := artifact.DefaultConfig()
	cfg.TicketKey, cfg.MasterKey = make([]byte, 32), make([]byte, 32)
	s, err := artifact.New(cfg, artifact.Deps{
		DB: databasetest.Open(t, databasetest.SQLite(t)), Store: newS3(t), Conn: bustest.Start(t).Connect("a"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/readyz", api.ObjectsPath} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s = %d, want 503", path, w.Code)
		}
	}
}

// TestStopWaitsForTransfers: soft first.
func TestStopWaitsForTransfers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	g, late := f.grantUpload("b1", result), f.grantUpload("b1", result)
	pr, pw := io.Pipe()
	done := make(chan answer, 1)
	go func() { done <- do(f.request(g, http.MethodPut, pr)) }()
	if _, err := pw.Write(noise(9 << 20)); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- f.stop() }()
	f.eventually("it says that it stops", func() bool { _, why := probe(t, f.url+"/readyz"); return strings.Contains(why, "stopping") })
	if a := f.put(late, []byte("x")); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("PUT while stopping = %d %s", a.status, a.body)
	}
	select {
	case err := <-stopped:
		t.Fatalf("Run ended (%v) with a transfer under way", err)
	default:
	}
	pw.Close()
	if a := <-done; a.status != http.StatusOK {
		t.Errorf("PUT = %d %s %v", a.status, a.body, a.err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestStopCutsWhatTakesTooLong: then hard, and the cut upload leaves nothing.
func TestStopCutsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	f := setup(t, option{config: func(c *artifact.Config) { c.DrainTimeout = 50 * time.Millisecond }})
	g := f.grantUpload("b1", result)
	pr, pw := io.Pipe()
	defer pw.Close()
	done := make(chan answer, 1)
	go func() { done <- do(f.request(g, http.MethodPut, pr)) }()
	if _, err := pw.Write(noise(9 << 20)); err != nil {
		t.Fatal(err)
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
	f.noBytesLeft()
	if a := <-done; a.status == http.StatusOK {
		t.Error("a cut upload was answered as stored")
	}
}
