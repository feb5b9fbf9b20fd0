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
	// SubmitRetryWindow is how long a client may repeat a submit whose response could not be
	// written. Then the build is cancelled unless it has begun.
	SubmitRetryWindow time.Duration
}

// Deps are the dependencies of a Service.
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

// Service handles submits. Create it with New. It is safe for concurrent use.
type Service struct {
	Deps

	// Unanswered recognises repeats of submits of API v1.
	Unanswered *Unanswered

	cfg   Config
	lease *processLease
}

// New returns a service. It starts no goroutines.
func New(cfg Config, d Deps) *Service {
	p := newProcessLease(d.Store, d.Sole, d.Log)
	return &Service{
		Deps: d, cfg: cfg, lease: p,
		Unanswered: &Unanswered{farm: d.Farm, store: d.Store, lease: p, window: cfg.SubmitRetryWindow, log: d.Log},
	}
}

// Loops returns the loops that must run, by name.
func (v *Service) Loops() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{"unanswered submits": v.Unanswered.rollBackLoop, "leases of submits": v.lease.renewLoop}
}
