package legacy

import (
	"context"
	"errors"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/logs"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// RecordLog makes an uploaded object the log of an imported build. A repeat gets the first answer.
func (r Requests) RecordLog(ctx context.Context, req *artifactv1.RecordLogRequest) (*artifactv1.RecordLogResponse, error) {
	o, err := r.Catalog.Readable(ctx, req.GetObjectId())
	if err != nil {
		return nil, err
	}
	if catalog.KindOf(o) != artifactv1.Kind_KIND_LOG || o.BuildID != req.GetBuildId() {
		return nil, httpx.Refuse(build.ErrInvalid, "object %s is not a log of build %.80q", o.ID, req.GetBuildId())
	}
	log, err := logarchive.Open(ctx, logs.Source{Catalog: r.Catalog, Row: o})
	if errors.Is(err, logarchive.ErrCorrupt) {
		return nil, httpx.Because(build.ErrInvalid, err, "object %s is not a log archive", o.ID)
	}
	if err != nil {
		return nil, err
	}
	now, ended := time.Now(), time.UnixMilli(req.GetEndedAtMs())
	if req.GetEndedAtMs() <= 0 {
		ended = now
	}
	l := store.Log{BuildID: o.BuildID, EndedAt: ended, DueAt: now, ObjectID: o.ID, Lines: log.Lines(), ArchivedAt: now}
	won, err := r.Logs.SaveArchive(ctx, "", l, now)
	if err == nil && !won {
		have, err := r.Logs.Log(ctx, o.BuildID)
		if err == nil && !have.ExpiredAt.IsZero() { // nobody keeps this object, so the janitor takes it
			return &artifactv1.RecordLogResponse{}, nil
		}
		if err != nil || have.ObjectID != o.ID {
			return nil, errors.Join(httpx.Refuse(build.ErrInvalid, "build %s already has a log", o.BuildID), err)
		}
	}
	return &artifactv1.RecordLogResponse{}, err
}
