package deployments_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"howett.net/plist"
)

// unit is a systemd unit's settings: each may be there more than once.
type unit map[string][]string

func units(t *testing.T) map[string]unit {
	t.Helper()
	files, err := filepath.Glob("systemd/*.service")
	if err != nil || len(files) == 0 {
		t.Fatalf("no units: %v", err)
	}
	all := map[string]unit{}
	for _, f := range files {
		u := unit{}
		for line := range strings.Lines(read(t, f)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
				u[name] = append(u[name], value)
			}
		}
		all[filepath.Base(f)] = u
	}
	return all
}

// TestUnits: systemd itself takes them, and finds little that they could do to the system.
func TestUnits(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("this system has no systemd-analyze")
	}
	for name, u := range units(t) {
		limit := "20" // tenths of systemd's points: 100 is open to everything
		if name == "freeagent-worker.service" {
			limit = "50" // builds need more
		}
		path := filepath.Join("systemd", name)
		if out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--threshold="+limit, path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		out, _ := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput() // programs are not installed here
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, name) && !strings.Contains(line, "is not executable") {
				t.Errorf("%s: %s", name, line)
			}
		}
		if len(u["DynamicUser"]) != 1 || len(u["TimeoutStopSec"]) != 1 {
			t.Errorf("%s has no user of its own or no time to stop", name)
		}
	}
}

// TestUnitServices runs each service with the environment, the file of settings and the credentials of its unit.
func TestUnitServices(t *testing.T) {
	t.Parallel()
	all := units(t)
	for _, name := range services() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, made := all["freeagent-"+name+".service"], madeSecrets(t)
			made["services.conf"] = read(t, "systemd/services.conf")
			env, files := map[string]string{}, map[string]string{}
			for _, e := range u["Environment"] {
				variable, value, _ := strings.Cut(e, "=")
				env[variable] = strings.ReplaceAll(value, "%d", "/credentials")
			}
			for _, c := range u["LoadCredential"] {
				id, path, _ := strings.Cut(c, ":")
				if made[filepath.Base(path)] == "" {
					t.Errorf("%s is not among what freeagent secrets makes", path)
				}
				files["/credentials/"+id] = made[filepath.Base(path)]
			}
			checkConfig(t, name, env, files)
		})
	}
}

// TestUnitCommands: `freeagent` takes what the others run.
func TestUnitCommands(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"freeagent.service", "freeagent-worker.service"} {
		words := strings.Fields(strings.ReplaceAll(units(t)[name]["ExecStart"][0], "$WORKER_FLAGS", ""))
		if words[0] != "/usr/local/bin/freeagent" {
			t.Errorf("%s runs %s", name, words[0])
		}
		accepted(t, words[1:])
	}
}

// TestLaunchd: the property lists are ones, name themselves as their files do, and run what `freeagent` takes.
func TestLaunchd(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("launchd/*.plist")
	if err != nil || len(files) != 2 {
		t.Fatalf("%d property lists: %v", len(files), err)
	}
	for _, f := range files {
		var p struct {
			Label            string
			ProgramArguments []string
			RunAtLoad        bool
			KeepAlive        bool
			ExitTimeOut      int
			Umask            int
		}
		if _, err := plist.Unmarshal([]byte(read(t, f)), &p); err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if p.Label+".plist" != filepath.Base(f) || !p.RunAtLoad || !p.KeepAlive || p.ExitTimeOut < 60 || p.Umask != 0o77 {
			t.Errorf("%s = %+v", f, p)
		}
		accepted(t, p.ProgramArguments[1:])
	}
}
