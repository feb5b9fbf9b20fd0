package soak

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// hook is the far end of a webhook: it hears which builds have completed.
type hook struct {
	l net.Listener

	mu    sync.Mutex
	heard map[string]bool
}

func newHook(ctx context.Context) (*hook, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	return &hook{l: l, heard: map[string]bool{}}, err
}

func (h *hook) run(ctx context.Context, log *slog.Logger) error {
	return httpx.Run(ctx, h.l, h, log)
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct{ Subject string }
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || json.Unmarshal(data, &event) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard[event.Subject] = true
}

func (h *hook) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.heard)
}

// register asks the server to send what completes.
func (h *hook) register(ctx context.Context, s *server) error {
	url, events := "http://"+h.l.Addr().String(), []string{"build.completed"}
	return (&former{url: s.url}).postJSON(ctx, api.Path+"/webhooks", api.NewWebhook{URL: &url, Events: &events}, nil)
}
