package ingest_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestStats(t *testing.T) {
	t.Parallel()
	f := setup(t)
	far, _ := playFigures(t, f)
	want := map[string]any{
		"nodesOnline": 3.0, "buildsQueued": 5.0, "activeBuilds": 2.0, "buildsToday": 7.0, "totalBuilds": 100.0,
		"totalBuildTimeMs": 3_600_500.0, "totalCpuCycles": 9001.25,
	}
	for _, path := range []string{"/api/stats", "/public/stats"} {
		for _, h := range []hdr{nil, {"X-API-Key": "not-the-right-key-000000"}} {
			if diff := cmp.Diff(want, f.do("GET", path, nil, h).want(t, 200).json(t)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
	}
	if n := far.asked.Load(); n != 1 {
		t.Errorf("the scheduler was asked %d times within 5 s", n)
	}
}

// TestStatsAskedAtOnce: however many ask, one question is under way.
func TestStatsAskedAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	far, _ := playFigures(t, f)
	asked, answer := make(chan struct{}), make(chan struct{})
	far.set(func(far *figures) { far.asking = func() { close(asked); <-answer } })
	var all sync.WaitGroup
	ask := func() { f.do("GET", "/api/stats", nil, nil).want(t, 200) }
	all.Go(ask)
	<-asked
	for range 20 {
		all.Go(ask)
	}
	close(answer)
	all.Wait()
	if n := far.asked.Load(); n != 1 {
		t.Errorf("the scheduler was asked %d times", n)
	}
}

func TestStatsWhileTheMonitorIsAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, stop := playFigures(t, f)
	stop()
	if m := f.do("GET", "/api/stats", nil, nil).want(t, 200).json(t); m["totalCpuCycles"] != 0.0 || m["totalBuilds"] != 100.0 {
		t.Errorf("stats = %v", m)
	}
}

func TestStatsWhileTheSchedulerFails(t *testing.T) {
	t.Parallel()
	f := setup(t)
	far, _ := playFigures(t, f)
	far.set(func(far *figures) { far.fault = fmt.Errorf("%w: restarting", build.ErrUnavailable) })
	r := f.do("GET", "/api/stats", nil, hdr{"Origin": "https://expo-free-agent.pages.dev"}).want(t, 503)
	if r.header.Get("Retry-After") == "" || r.header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("headers = %v", r.header)
	}
	far.set(func(far *figures) { far.fault = nil })
	f.do("GET", "/api/stats", nil, nil).want(t, 200) // a failure is not cached
}

func TestStatsCORS(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.StatsOrigins = append(c.StatsOrigins, "http://localhost:5173") })
	playFigures(t, f)
	for origin, allowed := range map[string]string{
		"https://expo-free-agent.pages.dev": "https://expo-free-agent.pages.dev", "http://localhost:5173": "http://localhost:5173",
		"https://evil.example": "", "https://expo-free-agent.pages.dev.evil.example": "", "null": "", "": "",
	} {
		for method, status := range map[string]int{http.MethodGet: 200, http.MethodOptions: 204} {
			r := f.do(method, "/public/stats", nil, hdr{"Origin": origin, "Access-Control-Request-Method": "GET"}).want(t, status)
			if got := r.header.Get("Access-Control-Allow-Origin"); got != allowed || r.header.Get("Vary") != "Origin" {
				t.Errorf("%s from %q: allowed %q, Vary %q", method, origin, got, r.header.Get("Vary"))
			}
		}
	}
	if r := f.do("GET", "/api/builds", nil, hdr{"Origin": "https://expo-free-agent.pages.dev"}); r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another route lets pages read it")
	}
	everybody := setup(t, func(c *ingest.Config) { c.StatsOrigins = []string{"*"} })
	playFigures(t, everybody)
	if r := everybody.do("GET", "/api/stats", nil, hdr{"Origin": "https://any.example"}); r.header.Get("Access-Control-Allow-Origin") != "https://any.example" {
		t.Errorf("headers = %v", r.header)
	}
}

func TestConfigOfThePublicSide(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*ingest.Config){
		"an origin with a path":  func(c *ingest.Config) { c.StatsOrigins = []string{"https://a.example/"} },
		"an origin of one word":  func(c *ingest.Config) { c.StatsOrigins = []string{"a.example"} },
		"certs over the limit":   func(c *ingest.Config) { c.MaxCertsBytes = 10<<20 + 1 },
		"no certs":               func(c *ingest.Config) { c.MaxCertsBytes = 0 },
		"no certs at once":       func(c *ingest.Config) { c.MaxConcurrentCerts = 0 },
		"no time for the repeat": func(c *ingest.Config) { c.SubmitRetryWindow = 0 },
	} {
		cfg := config()
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		if spoil(&cfg); cfg.Validate() == nil {
			t.Errorf("%s: Validate = nil", name)
		}
	}
}
