package v1

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
)

type holderKey struct{}

// heldBuild is the build that requireHolder let the caller on to.
func heldBuild(ctx context.Context) *schedulerv1.Build {
	b, _ := ctx.Value(holderKey{}).(*schedulerv1.Build)
	return b
}

// requireHolder lets only the worker on that holds the current attempt of the build in the path: v1 names no attempt. Its word
// is a sign of life of the worker and the attempt. With alsoBuild the caller names the build in a header, too, and a stranger
// is told so in other words.
func (h workers) requireHolder(alsoBuild bool) func(http.Handler) http.Handler {
	return h.requireHolderBy(alsoBuild, h.Farm.HeldBy)
}

// findHeld gives a build if the worker holds it.
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
