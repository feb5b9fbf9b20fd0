package standalone

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/command"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/paths"
	"github.com/expo-free-agent/freeagent/shared/settings"
)

// upSettings are the settings of `freeagent up`.
type upSettings struct {
	Config
	ReadyFile  string `env:"FREEAGENT_READY_FILE" help:"file to write {url, key_file} to as JSON when ready; none if empty"`
	WithWorker bool   `env:"FREEAGENT_WITH_WORKER" help:"whether to run a worker in this process, too"`
	Worker     command.Building
	Logging    observe.Settings
}

func upDefaults() upSettings {
	s := upSettings{Config: DefaultConfig(), Worker: command.DefaultBuilding(), Logging: observe.Settings{
		LogSettings: observe.LogSettings{Format: "text", Level: "info"},
	}}
	s.BusListen = ""                  // it follows the address of HTTP
	s.Worker.Drain = 10 * time.Second // the person who stops the server waits
	return s
}

// foreign are the settings of separate services that have no effect here, each with the reason.
func foreign() map[string]string {
	all := map[string]string{}
	for reason, names := range map[string]string{
		"it embeds its bus": `NATS_URL NATS_USER NATS_PASSWORD NATS_CREDS_FILE NATS_CA_FILE NATS_CERT_FILE NATS_KEY_FILE
			BUS_ISSUER_FILE BUS_ACCOUNT BUS_XKEY_FILE`,
		"its embedded bus is a single server": "STREAM_REPLICAS",
		"it tells workers the host by which they reach it; set the bus's address with FREEAGENT_BUS_LISTEN": "WORKER_BUS_URL",
		"it keeps its databases (SQLite) in the data directory, which FREEAGENT_DATA_DIR sets":              "DATABASE_URL DATABASE_MAX_CONNS",
		"it embeds its object store":                                                                           "S3_ENDPOINT S3_BUCKET S3_REGION S3_ACCESS_KEY S3_SECRET_KEY S3_TLS S3_CA_FILE",
		"its services run in one process and need no addresses of their own":                                   "ARTIFACT_URL ARTIFACT_CA_FILE ARTIFACT_LISTEN ARTIFACT_CERT_FILE ARTIFACT_KEY_FILE",
		"it answers /livez, /readyz and /health at FREEAGENT_INGEST_LISTEN":                                    "SCHEDULER_LISTEN MONITOR_LISTEN INGEST_HEALTH_LISTEN ARTIFACT_HEALTH_LISTEN",
		"HTTP and the bus share one certificate, which FREEAGENT_TLS_CERT_FILE and FREEAGENT_TLS_KEY_FILE set": "INGEST_CERT_FILE INGEST_KEY_FILE",
		"it keeps its own keys in the data directory":                                                          "TOKEN_KEY_FILE TICKET_KEY_FILE MASTER_KEY_FILE",
		"it has no replica that could take over while it stops":                                                "DRAIN_DELAY",
		"its local worker has the machine's name, builds for every platform in the default pool, and keeps its state in the data directory; start `freeagent worker` for another": "WORKER_NAME WORKER_POOL WORKER_PLATFORMS WORKER_STATE_DIR",
	} {
		for name := range strings.FieldsSeq(names) {
			all["FREEAGENT_"+name] = reason
		}
	}
	return all
}

// rareFlags are those of the services' settings that most people never need: --list-settings lists them, --help does not.
func rareFlags() map[string]bool {
	c, rare := DefaultConfig(), map[string]bool{}
	for _, service := range []any{&c.Scheduler, &c.Monitor, &c.Artifact, &c.Ingest} {
		for _, f := range settings.New("", service, nil).Flags() {
			rare[f.Name] = f.Setting
		}
	}
	for _, common := range []string{
		"accept-empty", "build-timeout", "heartbeat-timeouts", "log-limit-lines", "log-limit-mb", "log-retention", "public-url", "session-ttl",
	} {
		delete(rare, common)
	}
	return rare
}

// load reads the settings.
func (o *upOptions) load() error {
	s := &o.settings
	faults := []error{o.set.Load(withoutOwnKey(o.environ))}
	getenv := settings.Getenv(o.environ)
	if o.verbose {
		s.Logging.Level = "debug"
	}
	if s.Dir == "" {
		dir, err := paths.DataDir(getenv)
		if err != nil {
			faults = append(faults, err) // check says what to do
		}
		s.Dir = dir
	}
	if getenv(apiKeyFile) == paths.AdminKeyFile(s.Dir) {
		s.Key = "" // the server's own
	} else {
		s.Key = cmp.Or(s.Key, getenv("CONTROLLER_API_KEY"))
	}
	faults = append(faults, o.address())
	s.Artifact.StagedTTL = max(s.Artifact.StagedTTL, 2*s.Artifact.TicketTTL)
	return errors.Join(append(faults, s.check(), s.checkWorker(), s.Logging.Check())...)
}

// checkWorker names the faults of the local worker's settings, also if there is to be none.
func (s *upSettings) checkWorker() error {
	cfg := s.Worker.Config()
	cfg.Name, cfg.StateDir = "local", "/" // those are ours and come later
	if err := s.Worker.Validate(); err != nil {
		return err
	}
	return cfg.Validate()
}

const apiKeyFile = "FREEAGENT_API_KEY_FILE"

// withoutOwnKey drops the variable by which clients find the key of a server on this machine if the server has yet to make it.
func withoutOwnKey(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		path, ok := strings.CutPrefix(variable, apiKeyFile+"=")
		if !ok || filepath.Base(path) != filepath.Base(paths.AdminKeyFile("")) {
			return false
		}
		_, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// address lays --host and --port over the address of HTTP, and the host over the bus's if that has none.
func (o *upOptions) address() error {
	s := &o.settings
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return fmt.Errorf("address of the HTTP API: %w", err)
	}
	if o.given("host") {
		host = o.host
	}
	if o.given("port") {
		port = strconv.Itoa(o.port)
	}
	if o.port < 0 || o.port > 65535 {
		return fmt.Errorf("port must be 0 to 65535 (got %d)", o.port)
	}
	s.Listen = net.JoinHostPort(host, port)
	s.BusListen = cmp.Or(s.BusListen, net.JoinHostPort(host, "0"))
	return nil
}
