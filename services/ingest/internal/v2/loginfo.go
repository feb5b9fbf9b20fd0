package v2

import (
	"context"
	"sync"
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

// logCache remembers where the logs of builds are. The zero value is ready.
type logCache struct {
	mu   sync.Mutex
	byID map[string]logInfo
}

type logInfo struct {
	log *api.Log
	at  time.Time
}

func (c *logCache) get(id string) (*api.Log, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.byID[id]
	return i.log, ok && time.Since(i.at) < logInfoTTL
}

func (c *logCache) put(id string, l *api.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil || len(c.byID) >= maxLogInfos { // all of it is young: forgetting it costs a question each
		c.byID = map[string]logInfo{}
	}
	c.byID[id] = logInfo{l, time.Now()}
}

// log is nil if nothing is known of the log: then it lies in the stream, or the artifact service does not answer now, which
// keeps nobody from reading the build.
func (h *API) log(ctx context.Context, id string) *api.Log {
	if l, ok := h.logInfos.get(id); ok {
		return l
	}
	resp, err := h.Farm.ArchivedLog(ctx, id)
	if err != nil {
		h.Log.WarnContext(ctx, "look up archived log failed", "build_id", id, "err", err)
		return nil
	}
	l := viewLog(resp)
	h.logInfos.put(id, l)
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
