package standalone

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/expo-free-agent/freeagent/clients/worker/command"
	"github.com/expo-free-agent/freeagent/shared/settings"
)

// programs are those with settings, in the order of docs/settings.md; the last four are services of their own.
func programs() []string {
	return []string{"up", "worker", "ingest", "scheduler", "monitor", "artifact"}
}

// serviceBinaries are the separate services' programs, each built from its own module alone.
var serviceBinaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "freeagent-settings-")
	if err != nil {
		return "", err
	}
	for _, s := range programs()[2:] {
		cmd := exec.Command("go", "build", "-o", dir, "./cmd/"+s)
		cmd.Dir = filepath.Join(repository, "services", s)
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-trimpath") // as the Makefile
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", s, err, out)
		}
	}
	return dir, nil
})

// repository is absolute from the start: the S3 endpoint of other tests changes the process's working directory.
var repository = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// builtServices says that there are binaries to remove.
var builtServices atomic.Bool

// RemoveServices removes the separate services' programs, if a test has built them.
func RemoveServices() {
	if builtServices.Load() {
		dir, _ := serviceBinaries()
		_ = os.RemoveAll(dir)
	}
}

// service runs a separate service.
func service(t *testing.T, name string, env []string, args ...string) (string, error) {
	t.Helper()
	builtServices.Store(true)
	dir, err := serviceBinaries()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, name), args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// up calls `freeagent up` in this process, with what needs no server: --list-settings or --check-config.
func up(t *testing.T, env []string, args ...string) (string, upSettings, error) {
	t.Helper()
	var out bytes.Buffer
	o, cmd := newUp(&out, &out, append([]string{"FREEAGENT_DATA_DIR=" + t.TempDir()}, env...))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), o.settings, err
}

// listed is what a program says of a setting.
type listed struct{ variable, flag, text, def string }

var (
	helpLine    = regexp.MustCompile(`(?m)^  (FREEAGENT_\S+) +(--\S+) +(.*)$`)
	helpDefault = regexp.MustCompile(`^(.*) \((?:default (.*)|(required))\)$`)
)

// settingsOf lists the settings of a program as it prints them.
func settingsOf(t *testing.T, program string) []listed {
	t.Helper()
	var out string
	var err error
	switch program {
	case "up":
		out, _, err = up(t, nil, "--list-settings")
	case "worker":
		var buf bytes.Buffer
		cmd := command.New(command.IO{Stdout: &buf, Stderr: &buf})
		cmd.SetArgs([]string{"--list-settings"})
		err = cmd.ExecuteContext(t.Context())
		out = buf.String()
	default:
		out, err = service(t, program, nil, "-h")
	}
	if err != nil {
		t.Fatalf("settings of %s: %v\n%s", program, err, out)
	}
	var all []listed
	for _, m := range helpLine.FindAllStringSubmatch(out, -1) {
		s := listed{variable: m[1], flag: m[2], text: m[3]}
		if d := helpDefault.FindStringSubmatch(s.text); d != nil {
			s.text, s.def = d[1], d[2]+d[3]
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		t.Fatalf("%s lists no settings:\n%s", program, out)
	}
	return all
}

// example is a value of a setting that is not its default, and one that is wrong.
type example struct{ good, bad string }

// examples are of every setting that separate services and `freeagent up` have in common.
func examples() map[string]example {
	duration, count, yes := example{"7m", "soon"}, example{"7", "many"}, example{"true", "maybe"}
	return map[string]example{
		"ACCEPT_EMPTY": yes, "API_KEY": {"a-key-of-at-least-16", "short"}, "BASE_IMAGE": {"image:1", ""}, "BUILD_TIMEOUT": {"7m", "0s"},
		"DEBUG_LISTEN": {"127.0.0.1:6060", "0.0.0.0:6060"}, "HEARTBEAT_GRACE_PERIOD": {"1s", "-1s"}, "HEARTBEAT_TIMEOUTS": {"install=7m", "install=1ms"},
		"INGEST_LISTEN": {"127.0.0.1:3333", ""}, "LOG_ARCHIVE_CONCURRENCY": {"7", "0"}, "LOG_ARCHIVE_DELAY": {"7m", "0s"}, "LOG_FORMAT": {"json", "xml"},
		"LOG_LEVEL": {"debug", "nonsense"}, "LOG_LIMIT_LINES": {"7", "-1"}, "LOG_LIMIT_MB": {"7", "-1"}, "LOG_RETENTION": {"7m", "-1s"},
		"MAX_ATTEMPTS": {"7", "0"}, "MAX_ARTIFACTS_MB": {"7", "0"}, "MAX_BUILD_TIMEOUT": {"3h", "1h"}, "MAX_CERTS_MB": {"7", "65"}, "MAX_CONCURRENT_CERTS": {"7", "0"},
		"MAX_FOLLOWERS": {"7", "0"}, "MAX_HEARTBEAT_TIMEOUT": {"7m", "2h"}, "MAX_PRIORITY": {"7", "101"}, "MAX_RESULT_MB": {"7", "0"},
		"MAX_RESULT_UPLOAD_MB": {"7", "0"}, "MAX_SOURCE_MB": {"7", "9000000000000"}, "MAX_UPLOAD_MB": {"7", "-1"}, "MAX_WAITING_BUILDS": {"7", "0"},
		"OBJECT_SWEEP_INTERVAL": {"7m", "0s"}, "PRIORITY_AGING_INTERVAL": {"7m", "-1s"}, "PUBLIC_URL": {"https://farm.example", "farm"},
		"REPORT_RETENTION": {"7m", "0s"}, "RETENTION_AGE": {"70h", "1s"}, "RETENTION_BUILDS": count, "RETENTION_FARM_MB": count,
		"RETENTION_INTERVAL": {"7m", "0s"}, "RETENTION_KEEP_LAST": {"false", "maybe"}, "RETENTION_KEEP_LAST_AGE": {"70h", "-1s"},
		"REUSE_BRANCHES":    {"main,release/*", "[a"},
		"RETENTION_MIN_AGE": {"7m", "-1s"}, "RETENTION_NOTICE": {"7m", "-1s"}, "RETENTION_PROJECT_MB": {"7", "-1"}, "RETENTION_TRACE": {"7m", "-1s"},
		"RETENTION_WORKER_AGE": {"70h", "1s"}, "RETRY_BACKOFF": {"7m", "-1s"}, "SESSION_TTL": {"7m", "1s"}, "SHARED_CACHE_MB": {"7", "-1"}, "SHARED_CACHE_ENTRY_MB": {"7", "0"}, "SHARED_CACHE_TRUSTED_BRANCHES": {"release/*", "release/["},
		"STATS_ORIGINS":    {"https://a.example", "a.example"},
		"STREAM_LIMITS_MB": {"BUILD_LOGS=7", "NO_STREAM=7"}, "STREAM_STORAGE_MB": {"7", "-1"}, "SUBMIT_RETRY_WINDOW": {"7m", "0s"},
		"TELEMETRY_QUEUE_SIZE": {"7", "0"}, "TELEMETRY_RETENTION": {"7m", "0s"}, "TELEMETRY_ROLLUP_RETENTION": {"1000h", "1s"}, "TICKET_TTL": duration,
		"WAIT_ALERT": {"7m", "-1s"}, "WEBHOOK_BACKOFF": {"7m", "2h"}, "WEBHOOK_DISABLE_AFTER": {"7m", "0s"}, "WEBHOOK_MAX_ATTEMPTS": {"7", "0"},
		"WEBHOOK_MAX_BACKOFF": {"7m", "25h"}, "WEBHOOK_NETWORKS": {"10.0.0.0/8", "ten"}, "WEBHOOK_TIMEOUT": {"7s", "2m"},
		"WORKER_CREDENTIALS_TTL": {"7m", "1ms"}, "WORKER_TIMEOUT": {"7m", "0s"},
	}
}

// TestUpHasTheServicesSettings: a setting of a separate service is one of `freeagent up` too, or up says why it is not.
func TestUpHasTheServicesSettings(t *testing.T) {
	t.Parallel()
	ours := map[string]listed{}
	for _, s := range settingsOf(t, "up") {
		ours[s.variable] = s
	}
	reasons, used := foreign(), map[string]bool{}
	for _, program := range programs()[1:] {
		for _, s := range settingsOf(t, program) {
			up, has := ours[s.variable]
			reason := reasons[s.variable]
			used[s.variable] = true
			switch {
			case has == (reason != "") && program != "worker":
				t.Errorf("%s of %s: up has it: %t, says why not: %q", s.variable, program, has, reason)
			case has && up.flag != s.flag:
				t.Errorf("%s is %s for %s and %s for up", s.variable, s.flag, program, up.flag)
			case has && program != "worker":
				t.Run(s.variable, func(t *testing.T) { sameSetting(t, program, s) })
			case reason != "":
				t.Run(s.variable, func(t *testing.T) { noEffectOnUp(t, s, reason) })
			}
		}
	}
	for name := range reasons {
		if !used[name] {
			t.Errorf("%s has no effect on up, and no other program has it", name)
		}
	}
}

// sameSetting wants up to accept, refuse and apply a setting as the service does.
func sameSetting(t *testing.T, program string, s listed) {
	e, ok := examples()[strings.TrimPrefix(s.variable, "FREEAGENT_")]
	if !ok {
		t.Fatalf("no example of %s", s.variable)
	}
	secret := strings.HasSuffix(s.flag, "-file") && !strings.HasSuffix(s.variable, "_FILE")
	onLine := e.good
	if secret {
		onLine = file(t, e.good)
	}
	_, before, err := up(t, nil, "--check-config")
	if err != nil {
		t.Fatal(err)
	}
	for way, c := range map[string]struct{ env, args []string }{
		"flag": {nil, []string{s.flag + "=" + onLine}}, "environment": {[]string{s.variable + "=" + e.good}, nil},
		"file": {nil, []string{"--config", file(t, s.variable+"="+e.good)}},
	} {
		out, after, err := up(t, c.env, append(c.args, "--check-config")...)
		if err != nil || !strings.Contains(out, settings.OK) {
			t.Errorf("%s: %v, %s", way, err, out)
		}
		was, is := valuesOf(reflect.ValueOf(before), s.variable), valuesOf(reflect.ValueOf(after), s.variable)
		for i := range is {
			if reflect.DeepEqual(was[i], is[i]) {
				t.Errorf("%s: %v is not applied, %v", way, e.good, is[i])
			}
		}
	}
	if e.bad == "" {
		return
	}
	wrong := []string{s.variable + "=" + e.bad}
	_, _, err = up(t, wrong, "--check-config")
	for _, line := range complaints(t, program, wrong) {
		if err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("up says %v, and %s %q", err, program, line)
		}
	}
}

// complaints are what a service says of an environment and not of an empty one.
func complaints(t *testing.T, program string, env []string) (lines []string) {
	t.Helper()
	empty, _ := service(t, program, nil, "--check-config")
	out, err := service(t, program, env, "--check-config")
	for line := range strings.Lines(out) {
		line = strings.TrimPrefix(strings.TrimSpace(line), program+": ")
		if !strings.Contains(empty, line) {
			lines = append(lines, line)
		}
	}
	if err == nil || len(lines) == 0 {
		t.Errorf("%s accepts %q: %s", program, env, out)
	}
	return lines
}

// valuesOf are the values of the fields that a variable sets.
func valuesOf(v reflect.Value, variable string) (values []any) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("env"), ",")
		switch {
		case name == variable:
			values = append(values, v.Field(i).Interface())
		case name == "" && v.Field(i).Kind() == reflect.Struct && v.Type().Field(i).IsExported():
			values = append(values, valuesOf(v.Field(i), variable)...)
		}
	}
	return values
}

// noEffectOnUp wants a setting refused, or in the environment warned about, with the reason.
func noEffectOnUp(t *testing.T, s listed, reason string) {
	for _, args := range [][]string{{"--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(s.variable, "FREEAGENT_"), "_", "-")) + "=7"}, {"--config", file(t, s.variable+"=7")}} {
		if _, _, err := up(t, nil, append(args, "--check-config")...); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want it refused with the reason", args, err)
		}
	}
	out, _, err := up(t, []string{s.variable + "=7"}, "--check-config")
	if err != nil || !strings.Contains(out, `msg="setting has no effect" setting=`+s.variable) || !strings.Contains(out, reason) {
		t.Errorf("in the environment: %v, %q, want a warning with the reason", err, out)
	}
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpsOwnSettings: shorthands, old names, and the variables that have a meaning for other programs, too.
func TestUpsOwnSettings(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "admin.key")
	for name, c := range map[string]struct {
		env, args []string
		want      func(upSettings) bool
	}{
		"host and port":  {nil, []string{"--host", "0.0.0.0", "--port", "0"}, func(s upSettings) bool { return s.Listen == "0.0.0.0:0" && s.BusListen == "0.0.0.0:0" }},
		"port alone":     {[]string{"FREEAGENT_INGEST_LISTEN=10.0.0.1:80"}, []string{"--port", "8080"}, func(s upSettings) bool { return s.Listen == "10.0.0.1:8080" }},
		"bus":            {[]string{"FREEAGENT_BUS_LISTEN=10.0.0.1:4222"}, nil, func(s upSettings) bool { return s.BusListen == "10.0.0.1:4222" && s.Listen == "127.0.0.1:3000" }},
		"verbose":        {nil, []string{"-v"}, func(s upSettings) bool { return s.Logging.Level == "debug" }},
		"old flags":      {nil, []string{"--log-json", "--stage-ttl", "all=7m", "--stage-ttl", "pods=9m"}, oldFlags},
		"former key":     {[]string{"CONTROLLER_API_KEY=key-of-the-controller"}, nil, func(s upSettings) bool { return s.Key == "key-of-the-controller" }},
		"key over it":    {[]string{"CONTROLLER_API_KEY=key-of-the-controller", "FREEAGENT_API_KEY=key-of-this-server"}, nil, func(s upSettings) bool { return s.Key == "key-of-this-server" }},
		"key to be made": {[]string{apiKeyFile + "=" + missing}, nil, func(s upSettings) bool { return s.Key == "" }},
		"long tickets":   {[]string{"FREEAGENT_TICKET_TTL=2h"}, nil, func(s upSettings) bool { return s.Artifact.StagedTTL == 2*s.Artifact.TicketTTL }},
		"worker":         {[]string{"FREEAGENT_WORKER_SLOTS=2"}, []string{"--with-worker", "--telemetry-every", "3s"}, func(s upSettings) bool { return s.WithWorker && s.Worker.Slots == 2 }},
		"log limits":     {nil, []string{"--log-limit-mb", "3"}, func(s upSettings) bool { return s.Ingest.LogLimit.Bytes == 3<<20 && s.Worker.LogLimit.Bytes == 3<<20 }},
	} {
		if out, s, err := up(t, c.env, append(c.args, "--check-config")...); err != nil || !c.want(s) {
			t.Errorf("%s: %+v, %v, %s", name, s, err, out)
		}
	}
	for name, c := range map[string]struct {
		env, args []string
		want      string
	}{
		"misspelled":  {[]string{"FREEAGENT_" + "LOG_LEVELS=debug"}, nil, "did you mean FREEAGENT_LOG_LEVEL?"},
		"in the file": {nil, []string{"--config", file(t, "FREEAGENT_"+"DATA_DIRS=/d")}, "did you mean FREEAGENT_DATA_DIR?"},
		"port":        {nil, []string{"--port", "70000"}, "port must be 0 to 65535 (got 70000)"},
		"address":     {[]string{"FREEAGENT_INGEST_LISTEN=nonsense"}, nil, "address of the HTTP API"},
		"no key":      {[]string{apiKeyFile + "=/no/such"}, nil, apiKeyFile + ": open /no/such"},
		"certificate": {nil, []string{"--tls-cert-file", "/no/such", "--tls-key-file", "/no/such"}, "/no/such"},
		"executor":    {nil, []string{"--executor", "vm"}, "executor must be shell or fake"},
		"old and new": {[]string{"FREEAGENT_STAGE_TTLS=pods=1m", "FREEAGENT_HEARTBEAT_TIMEOUTS=pods=2m"}, nil, "FREEAGENT_STAGE_TTLS is the old name of FREEAGENT_HEARTBEAT_TIMEOUTS"},
	} {
		if _, _, err := up(t, c.env, append(c.args, "--check-config")...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func oldFlags(s upSettings) bool {
	return s.Logging.Format == "json" && s.Scheduler.StageTTLs["pods"].Minutes() == 9 && s.Monitor.StageTTLs["pods"].Minutes() == 9 &&
		s.Ingest.StageTTLs["pods"].Minutes() == 9 && s.Ingest.StageTTLs["prepare"].Minutes() == 7
}
