package standalone

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/services/monitor"
	"github.com/expo-free-agent/freeagent/services/scheduler"
	"github.com/expo-free-agent/freeagent/shared/identity"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// Config of a standalone installation. Start from DefaultConfig. Its tags are those of package settings: the services' settings
// have the names that they have in separate services.
type Config struct {
	// Dir is the data directory; it is made if missing and belongs to one process at a time.
	Dir string `env:"FREEAGENT_DATA_DIR" help:"data directory, of one server alone; the user's data directory if empty"`
	// Listen is the address of HTTP; port 0 picks a free one.
	Listen string `env:"FREEAGENT_INGEST_LISTEN" help:"address of the HTTP API"`
	// BusListen is where workers reach the bus; port 0 picks a free one once and keeps it.
	BusListen string `env:"FREEAGENT_BUS_LISTEN" help:"address of the bus for workers; if empty the host of the HTTP API, at a free port that is kept"`
	// Key is the admin API key; empty: the one in Dir/admin.key, made at the first start.
	Key string `env:"FREEAGENT_API_KEY" secret:"true" help:"admin API key, at least 16 of A-Z a-z 0-9 _ -"`
	// TLSCert and TLSKey are files of a certificate and its key, with which HTTP and the bus are served; both empty: no TLS.
	TLSCert string `env:"FREEAGENT_TLS_CERT_FILE" help:"certificate of the HTTP API and the bus, with its chain (TLS); reloaded when renewed"`
	TLSKey  string `env:"FREEAGENT_TLS_KEY_FILE" help:"key of the certificate"`

	// AcceptEmpty starts on a data directory of which a part is missing, and makes that anew.
	AcceptEmpty bool `env:"FREEAGENT_ACCEPT_EMPTY" help:"whether to start although stored data is missing (the whole bucket, or a part of the data directory); it is lost then"`

	Scheduler scheduler.Config
	Monitor   monitor.Config
	Artifact  artifact.Config
	Ingest    ingest.Config
	Log       *slog.Logger
}

// DefaultConfig listens on loopback only.
func DefaultConfig() Config {
	orders := scheduler.DefaultConfig()
	orders.AsyncTelemetry = true // our own bus stays alone
	files := artifact.DefaultConfig()
	files.WatchStore = 0 // the store is in this process
	return Config{
		Listen: "127.0.0.1:3000", BusListen: "127.0.0.1:0",
		Ingest: ingest.DefaultConfig(), Scheduler: orders, Monitor: monitor.DefaultConfig(),
		Artifact: files, Log: slog.New(slog.DiscardHandler),
	}
}

// validate makes paths absolute, before the S3 endpoint changes the process's working directory.
func (c *Config) validate() error {
	faults := []error{c.check()}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		faults = append(faults, fmt.Errorf("data directory: %w", err))
	}
	c.Dir = dir
	for _, file := range []*string{&c.TLSCert, &c.TLSKey} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			faults = append(faults, fmt.Errorf("TLS: %w", err))
		}
	}
	return errors.Join(faults...)
}

// check names every fault that shows without opening anything.
func (c Config) check() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("a data directory is needed: give --data-dir or FREEAGENT_DATA_DIR"))
	}
	if c.Key != "" {
		if err := identity.ValidKey(c.Key); err != nil {
			faults = append(faults, fmt.Errorf("admin %w", err))
		}
	}
	_, err := tlsfiles.Server(c.TLSCert, c.TLSKey)
	return errors.Join(append(faults, err, c.checkServices())...)
}

// checkServices names the faults of the services' settings, each once.
func (c Config) checkServices() error {
	key := make([]byte, 32) // the services' own keys are made at the start
	c.Ingest.BootstrapKey, c.Ingest.TokenKey = strings.Repeat("k", 32), key
	c.Artifact.TicketKey, c.Artifact.MasterKey = key, key
	all := errors.Join(c.Scheduler.Validate(), c.Monitor.Validate(), c.Artifact.Validate(), c.Ingest.Validate())
	if all == nil {
		return nil
	}
	var faults []string
	for line := range strings.SplitSeq(all.Error(), "\n") {
		if !slices.Contains(faults, line) {
			faults = append(faults, line)
		}
	}
	return errors.New(strings.Join(faults, "\n"))
}
