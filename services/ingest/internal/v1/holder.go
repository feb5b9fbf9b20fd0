package v1

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
)

type holderKey struct{}

// heldBuild returns the build that requireHolder has found.
func heldBuild(ctx context.Context) *schedulerv1.Build {
	b, _ := ctx.Value(holderKey{}).(*schedulerv1.Build)
	return b
}

// requireHolder passes requests of the worker that holds the current attempt of the build in the
// path, and counts them as heartbeats of worker and attempt. With alsoBuild a header must name the
// build too, and other workers get another message.
func (h workers) requireHolder(alsoBuild bool) func(http.Handler) http.Handler {
	return h.requireHolderBy(alsoBuild, h.Farm.HeldBy)
}

// findHeld returns the build if the worker holds it, else an error with the message refusal.
type findHeld func(ctx context.Context, id, worker, refusal string) (*schedulerv1.Build, error)

func (h workers) requireHolderBy(alsoBuild bool, held findHeld) func(http.Handler) http.Handler {
	refusal := httpapi.MsgNotHolder
	if alsoBuild {
		refusal = httpapi.MsgNotAssigned
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, worker := chi.URLParam(r, "id"), r.Header.Get(httpapi.WorkerHeader)
			switch {
			case worker == "":
				httpapi.V1.Refuse(w, r, http.StatusUnauthorized, httpapi.CodeNoKey, httpapi.MsgNoWorker)
				return
			case alsoBuild && r.Header.Get(httpapi.BuildHeader) == "":
				httpapi.V1.Refuse(w, r, http.StatusUnauthorized, httpapi.CodeNoKey, httpapi.MsgNoBuildHeader)
				return
			case alsoBuild && r.Header.Get(httpapi.BuildHeader) != id:
				httpapi.V1.Refuse(w, r, http.StatusForbidden, httpapi.CodeWrongKey, httpapi.MsgOtherBuild)
				return
			}
			b, err := held(r.Context(), id, worker, refusal)
			if err != nil {
				h.Fail(w, r, httpapi.V1, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), holderKey{}, b)))
		})
	}
}
