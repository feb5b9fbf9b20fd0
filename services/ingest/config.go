package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Config of a gateway. Start from DefaultConfig; BootstrapKey and TokenKey have no default.
type Config struct {
	// BootstrapKey is the admin key that works without having been made: at least 16 of A-Za-z0-9_-.
	BootstrapKey string
	// TokenKey makes and checks build tokens: at least 32 random bytes, the same in every replica.
	TokenKey []byte
	// CORSOrigin may read the public statistics from a browser.
	CORSOrigin string
	// MaxUploadBytes bounds a whole submit request; the artifact service bounds its parts.
	MaxUploadBytes int64
	// WorkerTTL is how long a worker's connection to the bus lasts before it is judged again.
	WorkerTTL time.Duration
	// StoragePath is shown by /health, as the former controller did.
	StoragePath string
}

// DefaultConfig fits the limits of API v1: sources of 500 MiB, certs of 10 MiB.
func DefaultConfig() Config {
	return Config{
		CORSOrigin: "https://expo-free-agent.pages.dev", MaxUploadBytes: 520 << 20, WorkerTTL: time.Hour,
	}
}

// Validate names every fault at once.
func (c Config) Validate() error {
	var faults []error
	if err := identity.ValidKey(c.BootstrapKey); err != nil {
		faults = append(faults, fmt.Errorf("bootstrap key: %w", err))
	}
	if len(c.TokenKey) < 32 {
		faults = append(faults, fmt.Errorf("token key has %d bytes, want at least 32", len(c.TokenKey)))
	}
	if c.MaxUploadBytes <= 0 {
		faults = append(faults, errors.New("max upload bytes: want more than 0"))
	}
	return errors.Join(faults...)
}

// Deps are what a gateway works with; it closes none of them.
type Deps struct {
	DB   *database.DB
	Conn *nats.Conn
	// ArtifactURL and ArtifactClient reach the artifact service's data plane.
	ArtifactURL    string
	ArtifactClient *http.Client
	// BusURL is what a worker that joins with this request is told.
	BusURL func(*http.Request) string
	// Issuer and Account sign the bus credentials of workers.
	Issuer  nkeys.KeyPair
	Account string
	Log     *slog.Logger
}
