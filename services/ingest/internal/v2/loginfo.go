package v2

import (
	"context"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
)

const (
	// logInfoTTL is the lifetime of a cached log info, so that clients that poll a build cost few
	// requests.
	logInfoTTL = 10 * time.Second
	// maxLogInfos bounds the cache.
	maxLogInfos = 4096
)

// log returns where the log of a build is. It returns nil if the log is in the stream, or if the
// artifact service is unavailable, which must not prevent reading the build.
func (h *API) log(ctx context.Context, id string) *api.Log {
	if l, ok := h.logInfos.Get(id); ok {
		return l
	}
	resp, err := h.Farm.ArchivedLog(ctx, id)
	if err != nil {
		h.Log.WarnContext(ctx, "look up archived log failed", "build_id", id, "err", err)
		return nil
	}
	l := viewLog(resp)
	h.logInfos.Put(id, l)
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
