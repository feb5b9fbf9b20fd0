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
	// BootstrapKey is the admin key that works without having been made: at least 16 of A-Za-z0-9_-. Another one at the
	// next start replaces it.
	BootstrapKey string
	// TokenKey makes and checks build tokens: at least 32 random bytes, the same in every replica.
	TokenKey []byte
	// MaxUploadBytes bounds a whole submit request; the artifact service bounds its parts.
	MaxUploadBytes int64 `env:"FREEAGENT_MAX_UPLOAD_MB" unit:"MB" help:"size limit of a submit request in MB"`
	// MaxResultBytes bounds a whole upload request of a worker of API v1.
	MaxResultBytes int64 `env:"FREEAGENT_MAX_RESULT_UPLOAD_MB" unit:"MB" help:"size limit of an upload request of an API v1 worker in MB"`
	// BaseImage is the name of the VM image that workers of API v1 are told to build in.
	BaseImage string `env:"FREEAGENT_BASE_IMAGE" help:"VM image that API v1 workers build in"`
	// LogLimit bounds the log of one attempt of a worker of API v1; our own worker keeps to its own.
	LogLimit loglimit.Limit
	// StageTTLs are the heartbeat timeouts of workers of API v1, for which the gateway keeps the heartbeats.
	StageTTLs build.HeartbeatTimeouts `env:"FREEAGENT_HEARTBEAT_TIMEOUTS" help:"heartbeat timeout per stage in whole seconds, such as install=5m,pods=10m or all=5m; other stages keep their default"`
	// MaxCertsBytes bounds the certs of a submit, at most signing.MaxBytes. They are held in memory until they are stored or
	// sent: MaxCertsAtOnce is how many of that size are at a time, and others wait; smaller ones take less.
	MaxCertsBytes  int64
	MaxCertsAtOnce int `env:"FREEAGENT_MAX_CONCURRENT_CERTS" help:"number of submits whose signing certificates (at most 10 MB) are in memory at once; further ones wait"`
	// RepeatWindow is how long a submit whose answer could not be written waits for the client to send it again; then the
	// build is cancelled if it has not begun.
	RepeatWindow time.Duration `env:"FREEAGENT_SUBMIT_RETRY_WINDOW" help:"time that an API v1 client has to retry a submit whose response failed, before its build is rolled back"`
	// StatsOrigins are the web pages (scheme://host[:port]) whose scripts may read the public figures; "*" is any.
	StatsOrigins []string `env:"FREEAGENT_STATS_ORIGINS" help:"web origins (scheme://host) whose scripts may read the public statistics, by comma; * is any"`
	// MaxFollowers bounds the clients that one replica sends logs and events to at once. Those of one log share a reader of the
	// bus; logs wait in 64 MiB of memory at most, and up to 512 KiB for each client that is slow.
	MaxFollowers int `env:"FREEAGENT_MAX_FOLLOWERS" help:"number of clients that follow logs or events at once"`
	// FollowBeat is how often a quiet followed log sends a sign of life, and asks whether the build has ended. Clients take
	// 45 s of silence for a dead line.
	FollowBeat time.Duration
	// SessionTTL is how long a web login lasts.
	SessionTTL time.Duration `env:"FREEAGENT_SESSION_TTL" help:"duration of a web login"`
	// MaxSamples bounds the samples of telemetry that wait for the bus; more are left out, and counted in the log.
	MaxSamples int `env:"FREEAGENT_TELEMETRY_QUEUE_SIZE" help:"number of telemetry samples that may wait for the bus; further ones are dropped"`
	// PublicURL is where people reach this gateway, for links in webhooks; empty leaves them out.
	PublicURL string `env:"FREEAGENT_PUBLIC_URL" help:"public URL of the gateway, for links in webhooks"`
	// WebhookNetworks are networks of our own that webhooks may be sent to, besides the public internet.
	WebhookNetworks []netip.Prefix `env:"FREEAGENT_WEBHOOK_NETWORKS" help:"private networks that webhooks may be sent to, besides the public internet, such as 10.0.0.0/8,127.0.0.1/32"`
	// WebhookTimeout bounds one try. After WebhookAttempts of them a delivery is dead. WebhookPause is between the first two, and
	// doubles up to WebhookMaxPause.
	WebhookTimeout  time.Duration `env:"FREEAGENT_WEBHOOK_TIMEOUT" help:"timeout of one webhook request, 1s to 1m"`
	WebhookAttempts int           `env:"FREEAGENT_WEBHOOK_MAX_ATTEMPTS" help:"number of attempts of a webhook delivery before it is dead"`
	WebhookPause    time.Duration `env:"FREEAGENT_WEBHOOK_BACKOFF" help:"backoff before the second attempt of a webhook delivery; doubles with each further one"`
	WebhookMaxPause time.Duration `env:"FREEAGENT_WEBHOOK_MAX_BACKOFF" help:"limit of the backoff between attempts of a webhook delivery, at most 24h"`
	// WebhookDisableAfter disables a webhook of which no delivery has succeeded for so long.
	WebhookDisableAfter time.Duration `env:"FREEAGENT_WEBHOOK_DISABLE_AFTER" help:"time without a successful delivery after which a webhook is disabled"`
	// WorkerTTL is how long a worker's connection to the bus lasts before it is judged again.
	WorkerTTL time.Duration `env:"FREEAGENT_WORKER_CREDENTIALS_TTL" help:"lifetime of a worker's connection to the bus before it must authenticate again"`
	// StoragePath is shown by /health, which the former controller had its directory in. Anybody may ask, so it names no real
	// path; empty where objects lie elsewhere.
	StoragePath string
}

// DefaultConfig fits the limits of API v1: sources of 500 MiB, certs of 10 MiB, results of 1 GiB, and room for the form around
// them. A worker of v1 has 5 min to begin, as it clones and boots a VM first.
func DefaultConfig() Config {
	ttls := build.DefaultTTLs()
	ttls[build.StagePrepare] = max(ttls[build.StagePrepare], 5*time.Minute)
	return Config{
		MaxUploadBytes: 520 << 20, MaxResultBytes: 1<<30 + 1<<20, MaxCertsBytes: signing.MaxBytes, MaxCertsAtOnce: 8,
		LogLimit:  loglimit.Limit{}.OrDefault(),
		BaseImage: "ghcr.io/cirruslabs/macos-sequoia-xcode:latest", StageTTLs: ttls, RepeatWindow: 2 * time.Minute,
		StatsOrigins:   []string{"https://expo-free-agent.pages.dev"},
		WebhookTimeout: 10 * time.Second, WebhookAttempts: 12, WebhookPause: 5 * time.Second, WebhookMaxPause: time.Hour, WebhookDisableAfter: 72 * time.Hour,
		MaxSamples: 20_000, MaxFollowers: 1000, FollowBeat: 15 * time.Second, WorkerTTL: time.Hour, SessionTTL: 12 * time.Hour,
	}
}

// Validate names every fault at once.
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
	need(c.MaxCertsAtOnce > 0, "max concurrent certs must be positive (got %d)", c.MaxCertsAtOnce)
	need(c.RepeatWindow > 0, "submit retry window must be positive (got %s)", c.RepeatWindow)
	need(c.MaxFollowers > 0, "max followers must be positive (got %d)", c.MaxFollowers)
	need(c.MaxSamples > 0, "telemetry queue size must be positive (got %d)", c.MaxSamples)
	need(c.FollowBeat > 0 && c.FollowBeat <= 30*time.Second, "follow heartbeat interval must be positive and at most 30s (got %s)", c.FollowBeat)
	need(c.SessionTTL >= time.Minute, "session TTL must be at least 1m (got %s)", c.SessionTTL)
	need(c.WorkerTTL >= time.Second, "worker credentials TTL must be at least 1s (got %s)", c.WorkerTTL)
	return errors.Join(append(faults, c.StageTTLs.Validate(), httpapi.ValidOrigins(c.StatsOrigins), c.validWebhooks())...)
}

func (c Config) webhooks() webhook.Config {
	return webhook.Config{
		TokenKey: c.TokenKey, PublicURL: c.PublicURL, Networks: c.WebhookNetworks, Timeout: c.WebhookTimeout, Attempts: c.WebhookAttempts,
		Pause: c.WebhookPause, MaxPause: c.WebhookMaxPause, DisableAfter: c.WebhookDisableAfter,
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
	need(c.WebhookPause > 0 && c.WebhookPause <= c.WebhookMaxPause, "webhook backoff must be positive and at most the max webhook backoff, %s (got %s)",
		c.WebhookMaxPause, c.WebhookPause)
	need(c.WebhookMaxPause <= 24*time.Hour, "max webhook backoff must be at most 24h (got %s)", c.WebhookMaxPause)
	need(c.WebhookDisableAfter > 0, "time after which webhooks are disabled must be positive (got %s)", c.WebhookDisableAfter)
	return errors.Join(faults...)
}

// Deps are what a gateway works with; it closes none of them.
type Deps struct {
	DB   *database.DB
	Conn *nats.Conn
	// Sole promises that no other process uses DB while this one does: whoever held a submit before is gone.
	Sole bool
	// ArtifactURL and ArtifactClient reach the artifact service's data plane. The client must not have a Timeout: transfers
	// take as long as bytes move.
	ArtifactURL    string
	ArtifactClient *http.Client
	// BusURL is what a worker that joins with this request is told.
	BusURL func(*http.Request) string
	// Issuer and Account sign the bus credentials of workers.
	Issuer  nkeys.KeyPair
	Account string
	// XKey seals the bus's questions about connections; nil if they are not sealed.
	XKey nkeys.KeyPair
	Log  *slog.Logger
	// Embedded says why this process could not take a submit, for what is embedded in it; nil where the
	// gateway's dependencies are other processes. Those never make it unready: see Ready.
	Embedded func(context.Context) error
	// Problems are what an operator should know, shown by /health; nil for none.
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
