package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// expiredError is build.ErrExpired with what is left of the build.
type expiredError struct{ trace *schedulerv1.ExpiredBuild }

func (e *expiredError) Error() string {
	day := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }
	return fmt.Sprintf("Build %s (%s, ended %s) expired on %s by %s. Its source, log and result are deleted.",
		e.trace.GetId(), e.trace.GetState(), day(e.trace.GetFinishedAtMs()), day(e.trace.GetExpiredAtMs()), e.trace.GetPolicy())
}

// Unwrap implements errors.Is.
func (e *expiredError) Unwrap() error { return build.ErrExpired }

// traceOf returns what is left of the build that an error is about; nil if it is not about an expired one.
func traceOf(err error) *schedulerv1.ExpiredBuild {
	var e *expiredError
	if errors.As(err, &e) {
		return e.trace
	}
	return nil
}

// Answer implements httpapi.Answerer. It answers a request about a build that has expired. Clients of API v1 know no such thing: to them it is unknown.
func (e *expiredError) Answer(w http.ResponseWriter, r *http.Request, d httpapi.Dialect) {
	if d == httpapi.V1 {
		d.Refuse(w, r, http.StatusNotFound, build.Code(build.ErrNotFound), httpapi.MsgNotFound)
		return
	}
	t := e.trace
	httpapi.WriteProblem(w, r, api.Problem{
		Status: http.StatusGone, Detail: e.Error(), Code: build.Code(build.ErrExpired),
		Expired: &api.Expired{
			ID: t.GetId(), Project: t.GetProject(), Platform: t.GetPlatform(), Status: t.GetState(), SubmittedAt: iso(t.GetSubmittedAtMs()),
			AssignedAt: iso(t.GetAssignedAtMs()), FinishedAt: iso(t.GetFinishedAtMs()), ExpiredAt: iso(t.GetExpiredAtMs()),
			Rule: t.GetRule(), Policy: t.GetPolicy(),
		},
	})
}

// statusOfExpired answers a client of API v1 that still asks how a build went.
func statusOfExpired(w http.ResponseWriter, t *schedulerv1.ExpiredBuild) {
	b := &schedulerv1.Build{State: t.GetState()}
	httpapi.WriteJSON(w, http.StatusOK, statusV1{
		ID: t.GetId(), Status: statusOf(b), Platform: t.GetPlatform(), WorkerID: orNull(t.GetWorkerId()), SubmittedAt: t.GetSubmittedAtMs(),
		StartedAt: orNull(t.GetAssignedAtMs()), CompletedAt: orNull(t.GetFinishedAtMs()), ErrorMessage: orNull(errorOf(b)),
	})
}

// orExpired turns "no such build" into what is left of it, if it has expired.
func (g *Ingest) orExpired(ctx context.Context, id string, err error) error {
	if !errors.Is(err, build.ErrNotFound) {
		return err
	}
	if _, gone := g.briefly(ctx, id); errors.Is(gone, build.ErrExpired) {
		return gone
	}
	return err
}
