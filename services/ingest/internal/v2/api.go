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
	// FollowHeartbeat is the interval at which a quiet stream sends a comment.
	FollowHeartbeat time.Duration
	// SessionTTL is how long a web login lasts.
	SessionTTL time.Duration
}

// Deps are the dependencies of an API.
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
	// BusURL returns the address of the bus for the worker that sent the request.
	BusURL func(*http.Request) string
	// More are operations of other packages.
	More []Operation
	// Stopping ends streams, which have no end of their own.
	Stopping context.Context // the life of the gateway
}

// API serves API v2. Create it with New. It is safe for concurrent use.
type API struct {
	Config
	Deps

	// Broadcaster lets clients follow logs.
	Broadcaster *logs.Broadcaster
	// followers is a semaphore of clients that follow a log or build.
	followers chan struct{}
	// logInfos caches where the logs of builds are.
	logInfos *cache.Cache[string, *api.Log]
	// document is the OpenAPI document, docs its HTML page.
	document, docs []byte
}

// New returns the API.
func New(cfg Config, d Deps) (a *API, err error) {
	a = &API{Config: cfg, Deps: d, followers: make(chan struct{}, cfg.MaxFollowers), logInfos: cache.New[string, *api.Log](maxLogInfos, logInfoTTL)}
	a.Broadcaster = logs.NewBroadcaster(d.Logs.Reader, logs.BroadcastConfig{State: a.StateOf, Encode: appendEvent, Beat: cfg.FollowHeartbeat})
	if a.document, err = openapi.Document(describe(a.operations())); err != nil {
		return nil, err
	}
	a.docs, err = openapi.Page(a.document)
	return a, err
}

type (
	builds     struct{ *API }
	buildLogs  struct{ *API }
	workers    struct{ *API }
	projects   struct{ *API }
	webhooks   struct{ *API }
	statistics struct{ *API }
)
