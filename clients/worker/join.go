package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/version"
)

const (
	// joinWait bounds one try, joinPause the pause between two: a farm that comes back is to have its workers soon.
	joinWait     = 15 * time.Second
	joinPause    = 500 * time.Millisecond
	joinPauseMax = 15 * time.Second
)

// join makes the worker known and gives its identity and the address of the bus. It tries for ever, until ctx ends or back
// says that it is not needed any more (then the answer is zero); only a refusal is an error.
func (w *Worker) join(ctx context.Context, back func() bool) (api.JoinResponse, error) {
	for wait := joinPause; ; wait = min(2*wait, joinPauseMax) {
		resp, err := w.joinOnce(ctx)
		switch {
		case err == nil:
			return resp, nil
		case final(err):
			return resp, refusal(err)
		}
		wait := wait/2 + rand.N(wait)
		if ctx.Err() == nil {
			w.log.WarnContext(ctx, "cannot join yet", "err", err, "again_in", wait.Round(time.Millisecond))
		}
		if !pause(ctx, wait) || back() {
			return api.JoinResponse{}, nil
		}
	}
}

func (w *Worker) joinOnce(ctx context.Context) (api.JoinResponse, error) {
	old, err := loadIdentity(w.cfg.StateDir)
	if err != nil {
		return api.JoinResponse{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	req := api.JoinRequest{
		WorkerID: old.WorkerID, Secret: old.Secret, Name: w.cfg.Name, Pool: w.cfg.Pool, Slots: w.cfg.Slots, Version: version.Version,
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

// final errors do not go away by themselves.
func final(err error) bool {
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

func refusal(err error) error {
	var refused *api.Error
	if errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden) {
		return fmt.Errorf("%w: it does not accept the API key; give one of scope worker or admin (--key-file or FREEAGENT_API_KEY): %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}
