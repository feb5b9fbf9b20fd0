package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
)

// Log says where a build's log is. One that nobody has archived is no error: all of it is in the stream.
func (s requests) Log(ctx context.Context, req *artifactv1.LogRequest) (*artifactv1.LogResponse, error) {
	l, err := s.rows.Log(ctx, req.GetBuildId())
	if isMissing(err) {
		return &artifactv1.LogResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	resp := &artifactv1.LogResponse{
		Lines: l.Lines, ThroughSeq: l.ThroughSeq, ArchivedAtMs: ms(l.ArchivedAt), KeptUntilMs: ms(s.keptUntil(l)), RemovedAtMs: ms(l.RemovedAt),
	}
	if l.ObjectID == "" {
		return resp, nil
	}
	o, err := s.readable(ctx, l.ObjectID)
	if err != nil {
		return nil, err
	}
	resp.Object = ref(o)
	return resp, nil
}

func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// keptUntil is zero for ever.
func (s *Service) keptUntil(l store.Log) time.Time {
	if s.cfg.LogRetention == 0 {
		return time.Time{}
	}
	return l.EndedAt.Add(s.cfg.LogRetention)
}

// RecordLog takes an archive that came from elsewhere. A repeat is answered like the first.
func (s requests) RecordLog(ctx context.Context, req *artifactv1.RecordLogRequest) (*artifactv1.RecordLogResponse, error) {
	o, err := s.readable(ctx, req.GetObjectId())
	if err != nil {
		return nil, err
	}
	if kindOf(o) != artifactv1.Kind_KIND_LOG || o.BuildID != req.GetBuildId() {
		return nil, refuse(build.ErrInvalid, "object %s is no log of build %.80q", o.ID, req.GetBuildId())
	}
	r, err := logarchive.Open(ctx, storedLog{s.Service, o})
	if errors.Is(err, logarchive.ErrCorrupt) {
		return nil, because(build.ErrInvalid, err, "object %s is no log archive", o.ID)
	}
	if err != nil {
		return nil, err
	}
	now, ended := s.now(), time.UnixMilli(req.GetEndedAtMs())
	if req.GetEndedAtMs() <= 0 {
		ended = now
	}
	l := store.Log{BuildID: o.BuildID, EndedAt: ended, DueAt: now, ObjectID: o.ID, Lines: r.Lines(), ArchivedAt: now}
	won, err := s.rows.SaveArchive(ctx, "", l, now)
	if err == nil && !won {
		have, err := s.rows.Log(ctx, o.BuildID)
		if err == nil && !have.ExpiredAt.IsZero() { // nobody keeps this object, so the janitor takes it
			return &artifactv1.RecordLogResponse{}, nil
		}
		if err != nil || have.ObjectID != o.ID {
			return nil, errors.Join(refuse(build.ErrInvalid, "build %s has a log already", o.BuildID), err)
		}
	}
	return &artifactv1.RecordLogResponse{}, err
}

// storedLog is an archive where its bytes lie.
type storedLog struct {
	s   *Service
	row store.Object
}

// Size implements logarchive.Source.
func (o storedLog) Size() int64 { return o.row.Size }

// ReadAt implements logarchive.Source.
func (o storedLog) ReadAt(ctx context.Context, p []byte, offset int64) error {
	r, _, err := o.s.stored(ctx, o.row, offset, int64(len(p)))
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(r, p); err != nil {
		return errors.Join(fmt.Errorf("read log %s: %w", o.row.ID, err), r.Close())
	}
	return r.Close()
}

// logNamed says whether an object is the log of its build.
func (s *Service) logNamed(ctx context.Context, o store.Object) (bool, error) {
	l, err := s.rows.Log(ctx, o.BuildID)
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask about the log of %s: %w", o.BuildID, err)
	}
	return l.ObjectID == o.ID, nil
}
