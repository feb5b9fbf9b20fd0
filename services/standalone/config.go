package standalone

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/services/monitor"
	"github.com/expo-free-agent/freeagent/services/scheduler"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Config of a standalone installation. Start from DefaultConfig.
type Config struct {
	// Dir is the data directory; it is made if missing and belongs to one process at a time.
	Dir string
	// Listen is the address of HTTP; port 0 picks a free one.
	Listen string
	// BusListen is where workers reach the bus; port 0 picks a free one once and keeps it.
	BusListen string
	// Key is the admin API key; empty: the one in Dir/admin.key, made at the first start.
	Key string
	// TLSCert and TLSKey are files of a certificate and its key, with which HTTP and the bus are served; both empty: no TLS.
	TLSCert, TLSKey string

	// AcceptEmpty starts on a data directory of which a part is missing, and makes that anew.
	AcceptEmpty bool

	Ingest    ingest.Config
	Scheduler scheduler.Config
	Monitor   monitor.Config
	Artifact  artifact.Config
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
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("no data directory given (--data-dir)"))
	}
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
	if c.Key != "" {
		if err := identity.ValidKey(c.Key); err != nil {
			faults = append(faults, fmt.Errorf("FREEAGENT_API_KEY: %w", err))
		}
	}
	return errors.Join(faults...)
}
