package v2

import (
	"context"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/logs"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/objects"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/openapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/webhook"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/cache"
)

// Config of an API.
type Config struct {
	// MaxUploadBytes bounds a whole submit request.
	MaxUploadBytes int64
	// MaxFollowers bounds the clients that follow logs and events at once.
	MaxFollowers int
	// FollowBeat is how often a quiet followed log sends a sign of life.
	FollowBeat time.Duration
	// SessionTTL is how long a web login lasts.
	SessionTTL time.Duration
}

// Deps are what an API works with.
type Deps struct {
	httpapi.Responder

	Farm     *farm.Farm
	Auth     *auth.Guard
	Objects  *objects.Transfers
	Submits  *submit.Service
	Webhooks *webhook.Service
	Store    *store.Store
	JS       jetstream.JetStream
	Logs     logs.Sender
	// BusURL is what a worker that joins with this request is told.
	BusURL func(*http.Request) string
	// More are operations of other packages.
	More []Operation
	// Stopping ends requests that never end by themselves (followed logs).
	Stopping context.Context // the life of the gateway
}

// API answers clients of API v2. Make it with New. It is safe for concurrent use.
type API struct {
	Config
	Deps

	// Broadcaster lets clients follow logs.
	Broadcaster *logs.Broadcaster
	// followers has a place for each log that may be followed at once.
	followers chan struct{}
	// logPlaces remembers where the logs of builds are.
	logPlaces *cache.Cache[string, *api.Log]
	// document and docs describe the API, for machines and for people.
	document, docs []byte
}

// New returns the API.
func New(cfg Config, d Deps) (a *API, err error) {
	a = &API{Config: cfg, Deps: d, followers: make(chan struct{}, cfg.MaxFollowers), logPlaces: cache.New[string, *api.Log](maxLogInfos, logInfoTTL)}
	a.Broadcaster = logs.NewBroadcaster(d.Logs.Reader, logs.BroadcastConfig{State: a.StateOf, Encode: appendEvent, Beat: cfg.FollowBeat})
	if a.document, err = openapi.Document(describe(a.operations())); err != nil {
		return nil, err
	}
	a.docs, err = openapi.Page(a.document)
	return a, err
}

type (
	builds    struct{ *API }
	buildLogs struct{ *API }
	workers   struct{ *API }
	projects  struct{ *API }
	hooks     struct{ *API }
	figures   struct{ *API }
)
