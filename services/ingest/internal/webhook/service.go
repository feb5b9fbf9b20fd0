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
	// TokenKey is the gateways' key, from which the encryption key of secrets is derived.
	TokenKey []byte
	// PublicURL is the public URL of the gateway, for links; "" for no links.
	PublicURL string
	// Networks are private networks that webhooks may be sent to, besides the public internet.
	Networks []netip.Prefix
	// Timeout bounds one attempt. After Attempts attempts a delivery is dead. Backoff is the delay
	// before the second attempt; it doubles up to MaxBackoff.
	Timeout             time.Duration
	Attempts            int
	Backoff, MaxBackoff time.Duration
	// DisableAfter is the time without a successful delivery after which a webhook is disabled.
	DisableAfter time.Duration
}

// Deps are the dependencies of a Service.
type Deps struct {
	Store *store.WebhookStore
	JS    jetstream.JetStream
	Log   *slog.Logger
	// Build returns the present state of a build. It returns build.ErrNotFound or build.ErrExpired
	// if it no longer exists.
	Build func(ctx context.Context, id string) (api.Build, error)
}

// Service delivers events to webhooks. One loop stores a delivery for each matching webhook,
// another sends deliveries until they succeed. SQL is in between, so a kill loses nothing and a
// slow receiver delays nothing else. Create it with New.
type Service struct {
	cfg    Config
	deps   Deps
	store  *store.WebhookStore
	js     jetstream.JetStream
	log    *slog.Logger
	client *http.Client
	sealer cipher.AEAD
	// wake triggers a round of sending.
	wake backoff.Waker

	mu sync.Mutex
	// inFlight counts the deliveries in flight per webhook; running waits for all.
	inFlight map[string]int
	running  sync.WaitGroup
}

// New returns a service. It starts no goroutines.
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

// Loops returns the loops that must run, by name.
func (s *Service) Loops() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"webhooks": s.consumeLoop, "deliveries": s.sendLoop, "old deliveries": s.sweepLoop,
	}
}

// Seal encrypts a secret and binds it to the webhook id.
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

// tokenSealID returns the id that a token is bound to, so that it cannot replace a secret or
// another webhook's token.
func tokenSealID(id string) string { return id + " token" }
