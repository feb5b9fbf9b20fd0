package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/version"
)

const (
	joinTimeout = 15 * time.Second
	// The wait between two tries doubles from minJoinRetry to maxJoinRetry: a farm that comes back gets its workers soon.
	minJoinRetry = 500 * time.Millisecond
	maxJoinRetry = 15 * time.Second
)

// join registers the worker and returns its identity and the address of the bus. It retries until ctx ends or isBack returns true; then the
// answer is zero. Only a refusal is an error.
func (w *Worker) join(ctx context.Context, isBack func() bool) (api.JoinResponse, error) {
	for retries := (backoff.Retries{First: minJoinRetry, Most: maxJoinRetry}); ; {
		resp, err := w.joinOnce(ctx)
		switch {
		case err == nil:
			return resp, nil
		case isPermanent(err):
			return resp, refusedBy(err)
		}
		wait := retries.Next()
		if ctx.Err() == nil {
			w.log.WarnContext(ctx, "join failed", "err", err, "retry_in", wait.Round(time.Millisecond))
		}
		if backoff.Sleep(ctx, wait) != nil || isBack() {
			return api.JoinResponse{}, nil //nolint:nilerr // the end of ctx is no refusal
		}
	}
}

func (w *Worker) joinOnce(ctx context.Context) (api.JoinResponse, error) {
	old, err := loadIdentity(w.cfg.StateDir)
	if err != nil {
		return api.JoinResponse{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	req := api.JoinRequest{
		WorkerID: old.WorkerID, Secret: old.Secret, Name: w.cfg.Name, Pool: w.cfg.Pool, Slots: w.cfg.Slots, Version: version.Version,
		Labels: w.labels(), Machine: w.builds.Machine,
	}
	for _, p := range w.cfg.Platforms {
		req.Platforms = append(req.Platforms, string(p))
	}
	resp, err := w.deps.Gateway.Workers.Join(ctx, req)
	if err != nil {
		return resp, fmt.Errorf("join: %w", err)
	}
	if !build.ValidID(resp.WorkerID) || resp.BusURL == "" {
		return resp, errors.New("join: the answer is not that of a Free Agent server")
	}
	if id := (identity{resp.WorkerID, resp.Secret}); id != old {
		if err := saveIdentity(w.cfg.StateDir, id); err != nil {
			return resp, err
		}
	}
	return resp, nil
}

// isPermanent reports whether joining again does not help.
func isPermanent(err error) bool {
	var refused *api.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// refusedBy returns ErrRefused with what to do about it.
func refusedBy(err error) error {
	var refused *api.Error
	if errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden) {
		return fmt.Errorf("%w: it does not accept the API key; give one of scope worker or admin (--key-file or FREEAGENT_API_KEY): %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}
