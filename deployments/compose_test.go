package deployments_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// project is docker-compose.yml as Compose reads it: checked against its schema, names resolved, variables put in.
func project(t *testing.T, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(env), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func environment(s types.ServiceConfig) map[string]string {
	env := map[string]string{}
	for name, value := range s.Environment {
		env[name] = *value
	}
	return env
}

// granted are the secrets that a service gets, by the path at which it finds them.
func granted(t *testing.T, p *types.Project, s types.ServiceConfig) map[string]string {
	t.Helper()
	made, files := madeSecrets(t), map[string]string{}
	for _, secret := range s.Secrets {
		if _, known := p.Secrets[secret.Source]; !known {
			t.Errorf("%s asks for secret %s, which is not declared", s.Name, secret.Source)
		}
		name := filepath.Base(p.Secrets[secret.Source].File)
		if made[name] == "" {
			t.Errorf("%s is not among what freeagent secrets makes", name)
		}
		target := secret.Target
		if target == "" {
			target = secret.Source
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join("/run/secrets", target)
		}
		files[target] = made[name]
	}
	return files
}

// TestComposeServices runs each service with the environment and the secrets that its containers get, and wants no secret
// that it does not read.
func TestComposeServices(t *testing.T) {
	t.Parallel()
	p := project(t)
	for _, name := range services() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := p.Services[name]
			env, files := environment(s), granted(t, p, s)
			checkConfig(t, name, env, files)
			for path := range files {
				used := false
				for _, value := range env {
					used = used || value == path
				}
				if !used {
					t.Errorf("%s gets %s and does not read it", name, path)
				}
			}
			if s.Build.Target != name || s.HealthCheck.Test[1] != "/"+name {
				t.Errorf("target %s, health check %q", s.Build.Target, s.HealthCheck.Test)
			}
			probed(t, s)
			if *s.Deploy.Replicas != 2 {
				t.Errorf("%d replicas", *s.Deploy.Replicas)
			}
			if grace := s.StopGracePeriod.String(); seconds(t, env["FREEAGENT_DRAIN_DELAY"])+45 >= seconds(t, grace) {
				t.Errorf("killed after %s, and the service takes %s and 45 s", grace, env["FREEAGENT_DRAIN_DELAY"])
			}
		})
	}
}

// probed wants the health check at an address where the service listens.
func probed(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	url := s.HealthCheck.Test[3]
	for name, value := range environment(s) {
		_, port, _ := strings.Cut(value, ":")
		if strings.HasSuffix(name, "_LISTEN") && strings.Contains(url, ":"+port+"/") {
			return
		}
	}
	t.Errorf("%s is probed at %s, where it does not listen", s.Name, url)
}

// TestComposeIsHardened: everything that can be is without capabilities, on a read-only root; nothing is published but by the
// proxy, on this machine; no secret stands in the file.
func TestComposeIsHardened(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, s := range p.Services {
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s is not hardened", name)
		}
		if len(s.CapAdd) > 0 && name != "postgres" {
			t.Errorf("%s has capabilities %q", name, s.CapAdd)
		}
		for _, port := range s.Ports {
			if name != "proxy" || port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %+v", name, port)
			}
		}
		for variable, value := range environment(s) {
			secret := strings.Contains(variable, "PASSWORD") || strings.Contains(variable, "SECRET") || strings.HasSuffix(variable, "_KEY")
			if secret && !strings.HasPrefix(value, "/run/secrets/") {
				t.Errorf("%s of %s is not in a file", variable, name)
			}
		}
		if strings.HasSuffix(s.Image, ":latest") && s.Build == nil {
			t.Errorf("%s runs whatever is the latest of %s", name, s.Image)
		}
		granted(t, p, s)
	}
	if !p.Networks["inside"].Internal {
		t.Error("the network of the engines is open")
	}
}

// TestComposeWorker: its flags are ones that it takes.
func TestComposeWorker(t *testing.T) {
	t.Parallel()
	p := project(t, "FREEAGENT_WORKER_BUS_URL=nats://builds.example.com:4222")
	workerArguments(t, p.Services["worker"].Command)
	if got := environment(p.Services["ingest"])["FREEAGENT_WORKER_BUS_URL"]; got != "nats://builds.example.com:4222" {
		t.Errorf("workers are told %s", got)
	}
}

// TestProxy: HAProxy takes the configuration, where it is installed.
func TestProxy(t *testing.T) {
	t.Parallel()
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("this system has no haproxy")
	}
	if out, err := exec.CommandContext(t.Context(), haproxy, "-c", "-f", "compose/haproxy.cfg").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
