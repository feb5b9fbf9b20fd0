package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/signing"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/webhook"
	"github.com/expo-free-agent/freeagent/shared/build"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Config of a gateway. Start from DefaultConfig; BootstrapKey and TokenKey have no default.
type Config struct {
	// BootstrapKey is the initial admin key, at least 16 characters of A-Za-z0-9_-. A different key
	// at the next start replaces it.
	BootstrapKey string
	// TokenKey signs build tokens: at least 32 random bytes, the same in every replica.
	TokenKey []byte
	// MaxUploadBytes bounds a whole submit request; the artifact service bounds its parts.
	MaxUploadBytes int64 `env:"FREEAGENT_MAX_UPLOAD_MB" unit:"MB" help:"size limit of a submit request in MB"`
	// MaxResultBytes bounds a whole upload request of a worker of API v1.
	MaxResultBytes int64 `env:"FREEAGENT_MAX_RESULT_UPLOAD_MB" unit:"MB" help:"size limit of an upload request of an API v1 worker in MB"`
	// BaseImage is the VM image that workers of API v1 build in.
	BaseImage string `env:"FREEAGENT_BASE_IMAGE" help:"VM image that API v1 workers build in"`
	// LogLimit bounds the log of one attempt on a worker of API v1. Other workers enforce a limit
	// of their own.
	LogLimit loglimit.Limit
	// StageTTLs are the heartbeat timeouts of workers of API v1. The gateway writes their
	// heartbeats.
	StageTTLs build.HeartbeatTimeouts `env:"FREEAGENT_HEARTBEAT_TIMEOUTS" help:"heartbeat timeout per stage in whole seconds, such as install=5m,pods=10m or all=5m; other stages keep their default"`
	// MaxCertsBytes bounds the certificates of a submit, at most signing.MaxBytes. They are in
	// memory until they are stored or sent. MaxConcurrentCerts bounds how many of that size are in
	// memory at once; further submits wait.
	MaxCertsBytes      int64
	MaxConcurrentCerts int `env:"FREEAGENT_MAX_CONCURRENT_CERTS" help:"number of submits whose signing certificates (at most 10 MB) are in memory at once; further ones wait"`
	// SubmitRetryWindow is how long a client of API v1 may repeat a submit whose response could not
	// be written. Then the build is cancelled unless it has begun.
	SubmitRetryWindow time.Duration `env:"FREEAGENT_SUBMIT_RETRY_WINDOW" help:"time that an API v1 client has to retry a submit whose response failed, before its build is rolled back"`
	// StatsOrigins are the web origins (scheme://host[:port]) whose scripts may read the public
	// statistics; "*" means any.
	StatsOrigins []string `env:"FREEAGENT_STATS_ORIGINS" help:"web origins (scheme://host) whose scripts may read the public statistics, by comma; * is any"`
	// MaxFollowers bounds the clients that follow logs and events of one replica at once. Followers
	// of one log share a reader. All logs together use at most 64 MiB of memory, and each slow
	// client up to 512 KiB.
	MaxFollowers int `env:"FREEAGENT_MAX_FOLLOWERS" help:"number of clients that follow logs or events at once"`
	// FollowHeartbeat is the interval at which a quiet stream sends a comment and checks whether
	// the build has ended. Clients consider a connection dead after 45 s of silence.
	FollowHeartbeat time.Duration
	// SessionTTL is how long a web login lasts.
	SessionTTL time.Duration `env:"FREEAGENT_SESSION_TTL" help:"duration of a web login"`
	// TelemetryQueueSize bounds the telemetry samples that wait for the bus. Further ones are
	// dropped and counted.
	TelemetryQueueSize int `env:"FREEAGENT_TELEMETRY_QUEUE_SIZE" help:"number of telemetry samples that may wait for the bus; further ones are dropped"`
	// PublicURL is the public URL of the gateway, for links in webhooks. Without it webhooks have
	// no links.
	PublicURL string `env:"FREEAGENT_PUBLIC_URL" help:"public URL of the gateway, for links in webhooks"`
	// WebhookNetworks are private networks that webhooks may be sent to, besides the public
	// internet.
	WebhookNetworks []netip.Prefix `env:"FREEAGENT_WEBHOOK_NETWORKS" help:"private networks that webhooks may be sent to, besides the public internet, such as 10.0.0.0/8,127.0.0.1/32"`
	// WebhookTimeout bounds one attempt at a delivery. After WebhookAttempts attempts it is dead.
	// WebhookBackoff is the delay before the second attempt; it doubles up to WebhookMaxBackoff.
	WebhookTimeout    time.Duration `env:"FREEAGENT_WEBHOOK_TIMEOUT" help:"timeout of one webhook request, 1s to 1m"`
	WebhookAttempts   int           `env:"FREEAGENT_WEBHOOK_MAX_ATTEMPTS" help:"number of attempts of a webhook delivery before it is dead"`
	WebhookBackoff    time.Duration `env:"FREEAGENT_WEBHOOK_BACKOFF" help:"backoff before the second attempt of a webhook delivery; doubles with each further one"`
	WebhookMaxBackoff time.Duration `env:"FREEAGENT_WEBHOOK_MAX_BACKOFF" help:"limit of the backoff between attempts of a webhook delivery, at most 24h"`
	// WebhookDisableAfter is the time without a successful delivery after which a webhook is
	// disabled.
	WebhookDisableAfter time.Duration `env:"FREEAGENT_WEBHOOK_DISABLE_AFTER" help:"time without a successful delivery after which a webhook is disabled"`
	// WorkerTTL is the lifetime of a worker's connection to the bus before it must authenticate
	// again.
	WorkerTTL time.Duration `env:"FREEAGENT_WORKER_CREDENTIALS_TTL" help:"lifetime of a worker's connection to the bus before it must authenticate again"`
	// StoragePath is the storage path that /health shows, as the legacy controller did. The
	// endpoint is public, so this must not be a real path. It is empty if objects are in S3.
	StoragePath string
}

// DefaultConfig returns the limits of API v1: sources of 500 MiB, certificates of 10 MiB, results
// of 1 GiB, plus the form around them. A worker of API v1 has 5 min to begin, since it clones and
// boots a VM first.
func DefaultConfig() Config {
	ttls := build.DefaultTTLs()
	ttls[build.StagePrepare] = max(ttls[build.StagePrepare], 5*time.Minute)
	return Config{
		MaxUploadBytes: 520 << 20, MaxResultBytes: 1<<30 + 1<<20, MaxCertsBytes: signing.MaxBytes, MaxConcurrentCerts: 8,
		LogLimit:  loglimit.Limit{}.OrDefault(),
		BaseImage: "ghcr.io/cirruslabs/macos-sequoia-xcode:latest", StageTTLs: ttls, SubmitRetryWindow: 2 * time.Minute,
		StatsOrigins:   []string{"https://expo-free-agent.pages.dev"},
		WebhookTimeout: 10 * time.Second, WebhookAttempts: 12, WebhookBackoff: 5 * time.Second, WebhookMaxBackoff: time.Hour, WebhookDisableAfter: 72 * time.Hour,
		TelemetryQueueSize: 20_000, MaxFollowers: 1000, FollowHeartbeat: 15 * time.Second, WorkerTTL: time.Hour, SessionTTL: 12 * time.Hour,
	}
}

// Validate returns all errors of the configuration, joined.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if err := identity.ValidKey(c.BootstrapKey); err != nil {
		faults = append(faults, fmt.Errorf("admin %w", err))
	}
	need(len(c.TokenKey) >= 32, "token key must have at least 32 bytes (got %d)", len(c.TokenKey))
	need(c.MaxUploadBytes > 0, "max upload bytes must be positive (got %d)", c.MaxUploadBytes)
	need(c.MaxResultBytes > 0, "max result upload bytes must be positive (got %d)", c.MaxResultBytes)
	need(c.BaseImage != "", "base image must name a VM image (got none)")
	need(c.LogLimit.Lines >= 0 && c.LogLimit.Bytes >= 0, "log limits must not be negative (got %d lines, %d bytes)", c.LogLimit.Lines, c.LogLimit.Bytes)
	need(c.MaxCertsBytes > 0 && c.MaxCertsBytes <= signing.MaxBytes, "max certificate bytes must be 1 to %d (got %d)", signing.MaxBytes, c.MaxCertsBytes)
	need(c.MaxConcurrentCerts > 0, "max concurrent certs must be positive (got %d)", c.MaxConcurrentCerts)
	need(c.SubmitRetryWindow > 0, "submit retry window must be positive (got %s)", c.SubmitRetryWindow)
	need(c.MaxFollowers > 0, "max followers must be positive (got %d)", c.MaxFollowers)
	need(c.TelemetryQueueSize > 0, "telemetry queue size must be positive (got %d)", c.TelemetryQueueSize)
	need(c.FollowHeartbeat > 0 && c.FollowHeartbeat <= 30*time.Second, "follow heartbeat interval must be positive and at most 30s (got %s)", c.FollowHeartbeat)
	need(c.SessionTTL >= time.Minute, "session TTL must be at least 1m (got %s)", c.SessionTTL)
	need(c.WorkerTTL >= time.Second, "worker credentials TTL must be at least 1s (got %s)", c.WorkerTTL)
	return errors.Join(append(faults, c.StageTTLs.Validate(), httpapi.ValidOrigins(c.StatsOrigins), c.validWebhooks())...)
}

func (c Config) webhooks() webhook.Config {
	return webhook.Config{
		TokenKey: c.TokenKey, PublicURL: c.PublicURL, Networks: c.WebhookNetworks, Timeout: c.WebhookTimeout, Attempts: c.WebhookAttempts,
		Backoff: c.WebhookBackoff, MaxBackoff: c.WebhookMaxBackoff, DisableAfter: c.WebhookDisableAfter,
	}
}

func (c Config) validWebhooks() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(c.PublicURL)
	need(c.PublicURL == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "",
		"public URL must be http:// or https:// and a host (got %q)", c.PublicURL)
	need(c.WebhookTimeout >= time.Second && c.WebhookTimeout <= time.Minute, "webhook timeout must be 1s to 1m (got %s)", c.WebhookTimeout)
	need(c.WebhookAttempts > 0, "max webhook attempts must be positive (got %d)", c.WebhookAttempts)
	need(c.WebhookBackoff > 0 && c.WebhookBackoff <= c.WebhookMaxBackoff, "webhook backoff must be positive and at most the max webhook backoff, %s (got %s)",
		c.WebhookMaxBackoff, c.WebhookBackoff)
	need(c.WebhookMaxBackoff <= 24*time.Hour, "max webhook backoff must be at most 24h (got %s)", c.WebhookMaxBackoff)
	need(c.WebhookDisableAfter > 0, "time after which webhooks are disabled must be positive (got %s)", c.WebhookDisableAfter)
	return errors.Join(faults...)
}

// Deps are the dependencies of a gateway. It closes none of them.
type Deps struct {
	DB   *database.DB
	Conn *nats.Conn
	// Sole means that no other process uses DB, so submits held by another process are abandoned.
	Sole bool
	// ArtifactURL and ArtifactClient reach the artifact service's data plane. The client must not
	// have a Timeout: transfers take as long as bytes move.
	ArtifactURL    string
	ArtifactClient *http.Client
	// BusURL returns the address of the bus for the worker that sent the request.
	BusURL func(*http.Request) string
	// Issuer and Account sign the bus credentials of workers.
	Issuer  nkeys.KeyPair
	Account string
	// XKey encrypts the auth callout; nil if it is not encrypted.
	XKey nkeys.KeyPair
	Log  *slog.Logger
	// Embedded reports why a dependency embedded in this process is unavailable. It is nil if all
	// dependencies are other processes, which never make the gateway unready: see Ready.
	Embedded func(context.Context) error
	// Problems returns problems for operators, shown by /health; may be nil.
	Problems func() []string
}

func (d Deps) validate() error {
	var faults []error
	for name, missing := range map[string]bool{
		"DB": d.DB == nil, "Conn": d.Conn == nil, "ArtifactClient": d.ArtifactClient == nil, "BusURL": d.BusURL == nil,
		"Issuer": d.Issuer == nil, "Log": d.Log == nil,
	} {
		if missing {
			faults = append(faults, fmt.Errorf("Deps.%s is missing", name))
		}
	}
	if u, err := url.Parse(d.ArtifactURL); err != nil || u.Host == "" {
		faults = append(faults, errors.New("Deps.ArtifactURL is not the URL of a server"))
	}
	return errors.Join(faults...)
}
