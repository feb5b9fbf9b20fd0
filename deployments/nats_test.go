package deployments_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

// TestBus: nats-server takes the configuration with the environment and the secrets of each node in docker-compose.yml.
func TestBus(t *testing.T) {
	p := project(t)
	nodes := 0
	for name, s := range p.Services {
		if !strings.HasPrefix(name, "nats-") {
			continue
		}
		nodes++
		opts := parsed(t, environment(s), map[string]string{"nats.conf": "nats.conf", "tls-off.conf": "bus-tls.conf"}, granted(t, p, s))
		c := opts.AuthCallout
		if c == nil || c.Account != secrets.BusAccount || c.XKey == "" || !slices.Contains(c.AuthUsers, secrets.BusUser) {
			t.Errorf("%s: callout = %+v", name, c)
		}
		if opts.ServerName != name || len(opts.Routes) != 3 || !opts.SyncAlways || opts.SystemAccount != "SYS" || opts.Cluster.Username == "" {
			t.Errorf("%s: name %s, %d routes, sync always %t", name, opts.ServerName, len(opts.Routes), opts.SyncAlways)
		}
		for _, route := range opts.Routes {
			if _, known := p.Services[route.Hostname()]; !known {
				t.Errorf("%s looks for %s, which is no service", name, route.Hostname())
			}
		}
	}
	if nodes != 3 {
		t.Errorf("%d nodes", nodes)
	}
}

// TestBusTLS: the other file makes both kinds of connections encrypted.
func TestBusTLS(t *testing.T) {
	dir := t.TempDir()
	env := environment(project(t).Services["nats-1"])
	for variable, name := range map[string]string{"NATS_CERT": "tls.crt", "NATS_KEY": "tls.key", "NATS_CA": "ca.crt"} {
		env[variable] = filepath.Join(dir, name)
	}
	for name, content := range madeCertificates(t) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts := parsed(t, env, map[string]string{"nats.conf": "nats.conf", "tls-on.conf": "bus-tls.conf"},
		map[string]string{"/etc/nats/bus-secrets.conf": madeSecrets(t)[secrets.BusConfig]})
	if opts.TLSConfig == nil || opts.Cluster.TLSConfig == nil {
		t.Errorf("TLS for clients %t, among nodes %t", opts.TLSConfig != nil, opts.Cluster.TLSConfig != nil)
	}
}

func parsed(t *testing.T, env, ours, granted map[string]string) *server.Options {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{}
	for from, to := range ours {
		files[to] = read(t, filepath.Join("nats", from))
	}
	for path, content := range granted {
		files[filepath.Base(path)] = content
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return opts
}

// TestBusVersion: the image is of the version that we test with.
func TestBusVersion(t *testing.T) {
	t.Parallel()
	version := regexp.MustCompile(`nats-server/v2 v(\S+)`).FindStringSubmatch(read(t, filepath.Join(root, "e2e", "go.mod")))
	if image := project(t).Services["nats-1"].Image; len(version) != 2 || image != "nats:"+version[1]+"-alpine" {
		t.Errorf("the bus is %s, and we test %q", image, version)
	}
}
