package standalone

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/clients/worker"
	"github.com/expo-free-agent/freeagent/clients/worker/command"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// localWorker makes the worker of `freeagent up --with-worker`: the same agent as everywhere, with the same rights. It talks to
// the gateway and the bus without a socket, so no certificate has to name this machine's own addresses. It joins once the server
// answers.
func localWorker(ctx context.Context, a *App, b command.Building, log *slog.Logger) (Part, error) {
	cfg := b.Config()
	cfg.StateDir = filepath.Join(a.Dir(), "worker")
	executor, err := b.NewExecutor(ctx, cfg.StateDir, log)
	if err != nil {
		return Part{}, err
	}
	gateway, err := api.New(api.Config{
		BaseURL: "http://localhost", Key: a.Key(), Transport: &http.Transport{DialContext: a.local.DialContext, DisableCompression: true},
	})
	if err != nil {
		return Part{}, err
	}
	if cfg.Name, err = os.Hostname(); err != nil || cfg.Name == "" {
		cfg.Name = "local"
	}
	w, err := worker.New(cfg, worker.Deps{Gateway: gateway, Executor: executor, Log: log, Dial: a.dialInside, Detect: b.Detect()})
	if err != nil {
		return Part{}, err
	}
	return Part{Name: "worker", Run: w.Run}, nil
}

// dialInside connects to the bus of this process.
func (a *App) dialInside(cfg bus.Config, log *slog.Logger) (*nats.Conn, error) {
	cfg.URL, cfg.TLS, cfg.InProcess = "", nil, a.bus.InProcess()
	return bus.Connect(cfg, log)
}
