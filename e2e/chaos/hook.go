package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// hook is the far end of a webhook outside of the cluster.
type hook struct {
	l net.Listener

	mu    sync.Mutex
	heard map[string][]string
}

// listenForHooks listens where the cluster reaches it.
func listenForHooks(ctx context.Context, host string) (*hook, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	return &hook{l: l, heard: map[string][]string{}}, err
}

func (h *hook) run(ctx context.Context, log *slog.Logger) error {
	return httpx.Run(ctx, h.l, h, log)
}

// register asks the farm to send every end of a build.
func (h *hook) register(ctx context.Context, c *api.Client) error {
	url, events := "http://"+h.l.Addr().String(), []string{"build.completed", "build.failed", "build.cancelled"}
	if _, err := c.Webhooks.Create(ctx, api.NewWebhook{URL: &url, Events: &events}); err != nil {
		return fmt.Errorf("register a webhook: %w", err)
	}
	return nil
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct{ Type, Subject string }
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || json.Unmarshal(data, &event) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if id, name := event.Subject, strings.TrimPrefix(event.Type, "freeagent."); !slices.Contains(h.heard[id], name) {
		h.heard[id] = append(h.heard[id], name)
	}
}

// delivered waits until so many builds were heard of, or for the repeats of what was not answered.
func (h *hook) delivered(ctx context.Context, builds int) map[string][]string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for waiting := true; waiting && h.count() < builds; {
		waiting = sleep(ctx, 200*time.Millisecond)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heard
}

func (h *hook) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.heard)
}
