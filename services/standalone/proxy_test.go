package standalone_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// haproxyBefore starts a proxy that asks /readyz of the gateways, as that of deployments/compose does.
func (f *installation) haproxyBefore(gateways ...*service) (url string) {
	f.t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		f.t.Skip("this system has no haproxy, which the test puts before the gateways")
	}
	port := freePort(f.t)
	config := strings.Builder{}
	fmt.Fprintf(&config, `defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 150s
  timeout check 3s
  option redispatch
  default-server check inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
frontend gateway
  bind 127.0.0.1:%s
  default_backend ingest
backend ingest
  option httpchk GET /readyz
`, port)
	for i, g := range gateways {
		fmt.Fprintf(&config, "  server ingest%d %s\n", i, strings.TrimPrefix(g.url(), "http://"))
	}
	spawn(f.t, program, nil, "-db", "-f", f.file(config.String()))
	return "http://127.0.0.1:" + port
}

// TestGatewaysStayWhileSchedulersAreAway: a proxy keeps the gateways, so that what needs no scheduler goes on, and what needs one is
// answered by us: 503, as JSON, with when to try again.
//
// It is not parallel: one object store can run in a process.
func TestGatewaysStayWhileSchedulersAreAway(t *testing.T) {
	f := newInstallation(t)
	scheduler, monitor, artifact := f.start("scheduler"), f.start("monitor"), f.start("artifact")
	gateways := []*service{
		f.start("ingest", "FREEAGENT_ARTIFACT_URL="+artifact.url()), f.start("ingest", "FREEAGENT_ARTIFACT_URL="+artifact.url()),
	}
	for _, p := range append([]*service{scheduler, monitor, artifact}, gateways...) {
		p.ready()
	}
	proxy := f.haproxyBefore(gateways...)
	f.await("the proxy passes on", func() bool { status, _ := f.ask(proxy + "/livez"); return status == http.StatusOK })
	if a := f.submit(proxy); a.err != nil {
		t.Fatal(a.err)
	}
	scheduler.terminate()
	f.await("/health knows", func() bool {
		status, body := f.ask(gateways[0].url() + "/health")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "scheduler does not answer")
	})
	for range 20 { // of both gateways, and past many checks of the proxy
		for _, path := range []string{"/", "/livez", "/readyz", api.Path + "/docs"} {
			if status, body := f.ask(proxy + path); status != http.StatusOK {
				t.Fatalf("%s = %d %.200s, want 200 without a scheduler", path, status, body)
			}
		}
	}
	answers := make(chan answer)
	for range 4 { // each waits for a scheduler for a while, so all at once
		go func() { answers <- f.submit(proxy) }()
	}
	for range 4 {
		a := <-answers
		if a.status != http.StatusServiceUnavailable || a.retryAfter == "" || a.code != "unavailable" {
			t.Errorf("submit without a scheduler = %+v, want our own 503 with Retry-After", a)
		}
	}
	f.start("scheduler").ready()
	f.await("a submit is taken again", func() bool { return f.submit(proxy).err == nil })
}
