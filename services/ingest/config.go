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
	MaxUploadBytes int64
	// MaxResultBytes bounds a whole upload request of a worker of API v1.
	MaxResultBytes int64
	// BaseImage is the name of the VM image that workers of API v1 are told to build in.
	BaseImage string
	// LogLimit bounds the log of one attempt of a worker of API v1; our own worker keeps to its own.
	LogLimit loglimit.Limit
	// StageTTLs is the silence forgiven by stage to workers of API v1, for which the gateway keeps the heartbeats.
	StageTTLs map[build.Stage]time.Duration
	// MaxCertsBytes bounds the certs of a submit, at most signing.MaxBytes. They are held in memory until they are stored or
	// sent: MaxCertsAtOnce is how many of that size are at a time, and others wait; smaller ones take less.
	MaxCertsBytes  int64
	MaxCertsAtOnce int
	// RepeatWindow is how long a submit whose answer could not be written waits for the client to send it again; then the
	// build is cancelled if it has not begun.
	RepeatWindow time.Duration
	// StatsOrigins are the web pages (scheme://host[:port]) whose scripts may read the public figures; "*" is any.
	StatsOrigins []string
	// MaxFollowers bounds the clients that one replica sends logs and events to at once. Those of one log share a reader of the
	// bus; logs wait in 64 MiB of memory at most, and up to 512 KiB for each client that is slow.
	MaxFollowers int
	// FollowBeat is how often a quiet followed log sends a sign of life, and asks whether the build has ended. Clients take
	// 45 s of silence for a dead line.
	FollowBeat time.Duration
	// SessionTTL is how long somebody who logs in to the pages stays so.
	SessionTTL time.Duration
	// MaxSamples bounds the samples of telemetry that wait for the bus; more are left out, and counted in the log.
	MaxSamples int
	// PublicURL is where people reach this gateway, for links in webhooks; empty leaves them out.
	PublicURL string
	// WebhookNetworks are networks of our own that webhooks may be sent to, besides the public internet.
	WebhookNetworks []netip.Prefix
	// WebhookTimeout bounds one try. After WebhookAttempts of them a delivery is dead. WebhookPause is between the first two, and
	// doubles up to WebhookMaxPause.
	WebhookTimeout                time.Duration
	WebhookAttempts               int
	WebhookPause, WebhookMaxPause time.Duration
	// WebhookDisableAfter disables a webhook of which no delivery has succeeded for so long.
	WebhookDisableAfter time.Duration
	// WorkerTTL is how long a worker's connection to the bus lasts before it is judged again.
	WorkerTTL time.Duration
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
	if err := identity.ValidKey(c.BootstrapKey); err != nil {
		faults = append(faults, fmt.Errorf("BootstrapKey: %w", err))
	}
	if len(c.TokenKey) < 32 {
		faults = append(faults, fmt.Errorf("TokenKey has %d bytes, want at least 32", len(c.TokenKey)))
	}
	if c.MaxUploadBytes <= 0 {
		faults = append(faults, errors.New("MaxUploadBytes: want more than 0"))
	}
	if c.MaxResultBytes <= 0 {
		faults = append(faults, errors.New("MaxResultBytes: want more than 0"))
	}
	if c.BaseImage == "" {
		faults = append(faults, errors.New("BaseImage: want the name of a VM image"))
	}
	if c.LogLimit.Lines < 0 || c.LogLimit.Bytes < 0 {
		faults = append(faults, fmt.Errorf("LogLimit: %d lines, %d bytes, want none below 0", c.LogLimit.Lines, c.LogLimit.Bytes))
	}
	for stage, ttl := range c.StageTTLs {
		if ttl < time.Second {
			faults = append(faults, fmt.Errorf("StageTTLs: %s of stage %s, want at least 1s", ttl, stage))
		}
	}
	if c.MaxCertsBytes <= 0 || c.MaxCertsBytes > signing.MaxBytes {
		faults = append(faults, fmt.Errorf("MaxCertsBytes: want more than 0 and at most %d", signing.MaxBytes))
	}
	if c.MaxCertsAtOnce <= 0 {
		faults = append(faults, errors.New("MaxCertsAtOnce: want more than 0"))
	}
	if c.RepeatWindow <= 0 {
		faults = append(faults, errors.New("RepeatWindow: want more than 0"))
	}
	faults = append(faults, httpapi.ValidOrigins(c.StatsOrigins), c.validWebhooks())
	if c.MaxFollowers <= 0 {
		faults = append(faults, errors.New("MaxFollowers: want more than 0"))
	}
	if c.MaxSamples <= 0 {
		faults = append(faults, errors.New("MaxSamples: want more than 0"))
	}
	if c.FollowBeat <= 0 || c.FollowBeat > 30*time.Second {
		faults = append(faults, errors.New("FollowBeat: want more than 0 and at most 30s"))
	}
	if c.SessionTTL < time.Minute {
		faults = append(faults, errors.New("SessionTTL: want at least 1m"))
	}
	if c.WorkerTTL < time.Second {
		faults = append(faults, errors.New("WorkerTTL: want at least 1s"))
	}
	return errors.Join(faults...)
}

func (c Config) webhooks() webhook.Config {
	return webhook.Config{
		TokenKey: c.TokenKey, PublicURL: c.PublicURL, Networks: c.WebhookNetworks, Timeout: c.WebhookTimeout, Attempts: c.WebhookAttempts,
		Pause: c.WebhookPause, MaxPause: c.WebhookMaxPause, DisableAfter: c.WebhookDisableAfter,
	}
}

func (c Config) validWebhooks() error {
	var faults []error
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		faults = append(faults, errors.New("PublicURL: want http:// or https:// and a host"))
	}
	if c.WebhookTimeout < time.Second || c.WebhookTimeout > time.Minute {
		faults = append(faults, errors.New("WebhookTimeout: want 1s to 1m"))
	}
	if c.WebhookAttempts < 1 || c.WebhookPause <= 0 || c.WebhookPause > c.WebhookMaxPause || c.WebhookMaxPause > 24*time.Hour || c.WebhookDisableAfter <= 0 {
		faults = append(faults, errors.New("webhooks: want at least 1 attempt, pauses of more than 0 and at most a day, and a time until one is disabled"))
	}
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
