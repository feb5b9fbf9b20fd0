package v2

import (
	"context"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
)

const (
	// logInfoTTL is how old what is said of a log may be, so that who asks for a build again and again costs one question.
	logInfoTTL = 10 * time.Second
	// maxLogInfos bounds what is remembered.
	maxLogInfos = 4096
)

// log is nil if nothing is known of the log: then it lies in the stream, or the artifact service does not answer now, which
// keeps nobody from reading the build.
func (h *API) log(ctx context.Context, id string) *api.Log {
	if l, ok := h.logPlaces.Get(id); ok {
		return l
	}
	resp, err := h.Farm.ArchivedLog(ctx, id)
	if err != nil {
		h.Log.WarnContext(ctx, "nothing is known of the log", "build_id", id, "err", err)
		return nil
	}
	l := viewLog(resp)
	h.logPlaces.Put(id, l)
	return l
}

func viewLog(l *artifactv1.LogResponse) *api.Log {
	if l.GetArchivedAtMs() == 0 && l.GetKeptUntilMs() == 0 && l.GetRemovedAtMs() == 0 {
		return nil
	}
	return &api.Log{
		Lines: l.GetLines(), ArchivedAt: httpapi.Time(l.GetArchivedAtMs()), KeptUntil: httpapi.Time(l.GetKeptUntilMs()), RemovedAt: httpapi.Time(l.GetRemovedAtMs()),
	}
}
