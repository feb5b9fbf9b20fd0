package farm

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// ExpiredError is build.ErrExpired with what is left of the build. It implements httpapi.Answerer.
type ExpiredError struct{ Trace *schedulerv1.ExpiredBuild }

func (e *ExpiredError) Error() string {
	day := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }
	t := e.Trace
	return fmt.Sprintf("Build %s (%s, ended %s) expired on %s by %s. Its source, log and result are deleted.",
		t.GetId(), t.GetState(), day(t.GetFinishedAtMs()), day(t.GetExpiredAtMs()), t.GetPolicy())
}

// Unwrap implements errors.Is.
func (e *ExpiredError) Unwrap() error { return build.ErrExpired }

// TraceOf returns what is left of the build that an error is about; nil if it is not about an
// expired one.
func TraceOf(err error) *schedulerv1.ExpiredBuild {
	var e *ExpiredError
	if errors.As(err, &e) {
		return e.Trace
	}
	return nil
}

// Answer answers a request about the build. Clients of API v1 know no expired builds: to them it is
// unknown.
func (e *ExpiredError) Answer(w http.ResponseWriter, r *http.Request, d httpapi.Dialect) {
	if d == httpapi.V1 {
		d.Refuse(w, r, http.StatusNotFound, build.Code(build.ErrNotFound), httpapi.MsgNotFound)
		return
	}
	t := e.Trace
	httpx.WriteProblem(w, r, api.Problem{
		Status: http.StatusGone, Detail: e.Error(), Code: build.Code(build.ErrExpired),
		Expired: &api.Expired{
			ID: t.GetId(), Project: t.GetProject(), Platform: t.GetPlatform(), Status: t.GetState(),
			SubmittedAt: httpapi.Time(t.GetSubmittedAtMs()), AssignedAt: httpapi.Time(t.GetAssignedAtMs()),
			FinishedAt: httpapi.Time(t.GetFinishedAtMs()), ExpiredAt: httpapi.Time(t.GetExpiredAtMs()), Rule: t.GetRule(), Policy: t.GetPolicy(),
		},
	})
}
