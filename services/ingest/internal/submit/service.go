package submit

import (
	"context"
	"log/slog"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/objects"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/retention"
	"github.com/expo-free-agent/freeagent/shared/streamhealth"
)

// Config of a Service.
type Config struct {
	// MaxUploadBytes bounds a whole submit request; the artifact service bounds its parts.
	MaxUploadBytes int64
	// RepeatWindow is how long a submit whose answer could not be written waits for the client to send it again; then the build is
	// cancelled if it has not begun.
	RepeatWindow time.Duration
}

// Deps are what a Service works with.
type Deps struct {
	Farm    *farm.Farm
	Store   *store.SubmitStore
	Objects *objects.Transfers
	// Storage knows whether the bus can store.
	Storage  *streamhealth.Watcher
	Retained *retention.Marker
	// Certs bounds the memory of certificates.
	Certs CertsMemory
	// Sole promises that no other process uses the database.
	Sole bool
	Log  *slog.Logger
}

// Service takes submits. Make it with New. It is safe for concurrent use.
type Service struct {
	Deps

	cfg      Config
	presence *presence
}

// New returns a service; it starts nothing.
func New(cfg Config, d Deps) *Service {
	return &Service{Deps: d, cfg: cfg, presence: newPresence(d.Store, d.Sole, d.Log)}
}

// Loops are what must run, by name.
func (v *Service) Loops() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{"unanswered submits": v.rollBackLoop, "leases of submits": v.presence.loop}
}
