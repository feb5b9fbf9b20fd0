package objects

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
)

// archiveSource reads an object by ranges. It is safe for concurrent use.
type archiveSource struct {
	t      *Transfers
	object *eventsv1.ObjectRef

	mu    sync.Mutex
	grant *artifactv1.Grant
}

// Archive returns the bytes of an archived log.
func (t *Transfers) Archive(o *eventsv1.ObjectRef) logarchive.Source {
	return &archiveSource{t: t, object: o}
}

// Size implements logarchive.Source.
func (s *archiveSource) Size() int64 { return s.object.GetSize() }

// pieceTimeout bounds the reading of one piece, at most a few megabytes.
const pieceTimeout = time.Minute

// ReadAt implements logarchive.Source.
func (s *archiveSource) ReadAt(ctx context.Context, p []byte, offset int64) error {
	if len(p) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pieceTimeout)
	defer cancel()
	grant, err := s.ticket(ctx)
	if err != nil {
		return err
	}
	resp, err := s.t.send(ctx, grant, nil, http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", offset, offset+int64(len(p))-1)}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		s.forget(grant)
		return fmt.Errorf("read %s: %w", s.object.GetName(), problem(resp))
	}
	if _, err := io.ReadFull(resp.Body, p); err != nil {
		return fmt.Errorf("%w: read %s: %w", build.ErrUnavailable, s.object.GetName(), err)
	}
	return nil
}

// ticketSlack is the remaining lifetime below which a ticket is replaced.
const ticketSlack = 2 * pieceTimeout

// ticket returns a grant to read the object. It requests a new one when the last is about to
// expire.
func (s *archiveSource) ticket(ctx context.Context) (*artifactv1.Grant, error) {
	s.mu.Lock()
	grant := s.grant
	s.mu.Unlock()
	if grant != nil && time.Until(time.UnixMilli(grant.GetExpiresAtMs())) > ticketSlack {
		return grant, nil
	}
	resp, err := s.t.farm.Artifact.Download(ctx, &artifactv1.DownloadRequest{ObjectId: s.object.GetObjectId()})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grant = resp.GetGrant()
	return s.grant, nil
}

func (s *archiveSource) forget(grant *artifactv1.Grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grant == grant {
		s.grant = nil
	}
}
