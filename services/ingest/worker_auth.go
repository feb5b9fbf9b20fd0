package ingest

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

type heldBuildKey struct{}

// heldBuild is the build of a request that requireHolder let on, as the scheduler knew it then.
func heldBuild(ctx context.Context) *schedulerv1.Build {
	b, _ := ctx.Value(heldBuildKey{}).(*schedulerv1.Build)
	return b
}

// holderRules is where the routes of a build's worker differ.
type holderRules struct {
	// sayOther is the sentence for a worker that does not hold the build.
	sayOther string
	// buildHeader: X-Build-Id must be there and name the build.
	buildHeader bool
}

// requireHolder lets only the worker on that holds the build's current attempt, in the order of checks that API v1 has:
// headers, unknown build, assignment. The key comes before it.
func (g *Ingest) requireHolder(rules holderRules) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, worker, named := chi.URLParam(r, "id"), r.Header.Get("X-Worker-Id"), r.Header.Get("X-Build-Id")
			switch {
			case worker == "":
				v1.refuse(w, r, http.StatusUnauthorized, codeNoKey, sayNoWorker)
				return
			case rules.buildHeader && named == "":
				v1.refuse(w, r, http.StatusUnauthorized, codeNoKey, sayNoBuild)
				return
			case rules.buildHeader && named != id:
				v1.refuse(w, r, http.StatusForbidden, codeWrongKey, sayOtherBuild)
				return
			}
			resp, err := g.getBuild(r.Context(), id)
			if err != nil {
				g.fail(w, r, v1, err)
				return
			}
			if !holds(worker, resp.GetBuild()) {
				v1.refuse(w, r, http.StatusForbidden, build.Code(build.ErrLeaseLost), rules.sayOther)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), heldBuildKey{}, resp.GetBuild())))
		})
	}
}

// holds says whether the worker has the build's lease: API v1 has no attempts, so it is the current one.
func holds(worker string, b *schedulerv1.Build) bool {
	return worker != "" && b.GetWorkerId() == worker && build.State(b.GetState()).Leased()
}
