package webhook

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/backoff"
)

// Config of a Service.
type Config struct {
	// TokenKey is the gateways' secret, from which the key of webhooks' secrets is derived.
	TokenKey []byte
	// PublicURL is where people reach the gateway, for links; empty leaves them out.
	PublicURL string
	// Networks are networks of our own that webhooks may be sent to, besides the public internet.
	Networks []netip.Prefix
	// Timeout bounds one attempt. After Attempts of them a delivery is dead. Pause is elapsedMs the first two, and doubles up to MaxPause.
	Timeout             time.Duration
	Attempts            int
	Backoff, MaxBackoff time.Duration
	// DisableAfter disables a webhook of which no delivery has succeeded for so long.
	DisableAfter time.Duration
}

// Deps are what a Service works with.
type Deps struct {
	Store *store.WebhookStore
	JS    jetstream.JetStream
	Log   *slog.Logger
	// Build returns a build as it is now. It is build.ErrNotFound or build.ErrExpired if nobody knows it any more.
	Build func(ctx context.Context, id string) (api.Build, error)
}

// Service delivers events to webhooks. First each event becomes a row for each webhook that wants it, then the rows are sent until
// they are answered well. Between the two lies SQL, so a kill loses nothing and a slow receiver holds nothing up. Make it with New.
type Service struct {
	cfg    Config
	deps   Deps
	store  *store.WebhookStore
	js     jetstream.JetStream
	log    *slog.Logger
	client *http.Client
	sealer cipher.AEAD
	// wake asks for a round of sending.
	wake backoff.Waker

	mu sync.Mutex
	// busy counts the deliveries under way by webhook; ended is told of each that ends.
	inFlight map[string]int
	running  sync.WaitGroup
}

// New returns a service; it starts nothing.
func New(cfg Config, d Deps) (*Service, error) {
	key, err := hkdf.Key(sha256.New, cfg.TokenKey, nil, "freeagent webhook secrets", 32)
	if err != nil {
		return nil, fmt.Errorf("key of webhook secrets: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key of webhook secrets: %w", err)
	}
	sealer, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key of webhook secrets: %w", err)
	}
	return &Service{
		cfg: cfg, deps: d, store: d.Store, js: d.JS, log: d.Log, client: NewClient(cfg.Networks, cfg.Timeout), sealer: sealer,
		wake: backoff.NewWaker(), inFlight: map[string]int{},
	}, nil
}

// Loops are what must run, by name.
func (s *Service) Loops() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"webhooks": s.consumeLoop, "deliveries": s.sendLoop, "old deliveries": s.sweepLoop,
	}
}

// Seal encrypts a secret and binds a secret to its webhook.
func (s *Service) Seal(id, secret string) string {
	nonce := make([]byte, s.sealer.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return base64.StdEncoding.EncodeToString(s.sealer.Seal(nonce, nonce, []byte(secret), []byte(id)))
}

var errSealed = errors.New("cannot decrypt the secret because the gateways' token key has changed. Set a new secret")

func (s *Service) unseal(id, sealed string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(data) < s.sealer.NonceSize() {
		return nil, errSealed
	}
	n := s.sealer.NonceSize()
	secret, err := s.sealer.Open(nil, data[:n], data[n:], []byte(id))
	if err != nil {
		return nil, errSealed
	}
	return secret, nil
}

// tokenSealID is what a token is sealed for: it cannot be put in the place of a secret, or of another webhook's token.
func tokenSealID(id string) string { return id + " token" }
