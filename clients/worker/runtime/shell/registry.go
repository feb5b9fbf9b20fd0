package shell

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	registryVariable = "npm_config_registry"
	// registryWait bounds the question to npm, which takes a second on a machine that is not busy.
	registryWait = 30 * time.Second
	// registryPause is the time between two questions after one without an answer.
	registryPause = time.Minute
)

// registry is the address of the npm registry in the configuration of the worker's user, without credentials: builds have another home directory
// and must not read the tokens in that file.
type registry struct {
	log *slog.Logger

	mu      sync.Mutex
	done    bool
	address string
	asked   time.Time
}

// newRegistry returns a registry that need not be asked for if the builds' variables have it.
func newRegistry(env map[string]string, log *slog.Logger) *registry {
	r := &registry{log: log}
	for k := range env {
		r.done = r.done || strings.EqualFold(k, registryVariable)
	}
	return r
}

// known returns the address, and "" if it is not known or is npm's default.
func (r *registry) known() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.address
}

// ask asks npm unless it has answered. A build that starts before npm has answered uses npm's default registry, which a warning says.
func (r *registry) ask(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done || !r.asked.IsZero() && time.Since(r.asked) < registryPause {
		return
	}
	r.asked = time.Now()
	address, err := npmRegistry(ctx)
	if err != nil {
		r.log.WarnContext(ctx, "npm did not tell its registry; builds use npm's default until it does", "err", err)
		return
	}
	r.done, r.address = true, address
}

// npmRegistry returns "" on a machine without npm.
func npmRegistry(ctx context.Context) (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", nil // the build will say so
	}
	ctx, cancel := context.WithTimeout(ctx, registryWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "config", "get", "registry")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("npm config get registry: %w", err)
	}
	u, err := url.Parse(string(bytes.TrimSpace(out)))
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("npm config get registry: %.80q is not an address", out)
	}
	u.User = nil
	return u.String(), nil
}
