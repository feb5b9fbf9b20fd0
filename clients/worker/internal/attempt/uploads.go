package attempt

import (
	"context"
	"log/slog"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/transfer"
)

// maxUploads bounds the uploads to the farm's cache that wait. More are dropped: another build will offer the same.
const maxUploads = 8

// uploadTimeout bounds one upload.
const uploadTimeout = 15 * time.Minute

// cacheUpload is an entry on its way to the farm's cache.
type cacheUpload struct {
	*transfer.CacheUpload

	transfers *transfer.Transfers
	log       *slog.Logger
}

// uploads are those of builds that have ended, one after the other.
type uploads struct{ waiting chan cacheUpload }

func newUploads() uploads { return uploads{make(chan cacheUpload, maxUploads)} }

// add returns false if too many wait.
func (u uploads) add(up cacheUpload) bool {
	select {
	case u.waiting <- up:
		return true
	default:
		return false
	}
}

// RunUploads sends what builds leave for the farm's cache until ctx ends. No build waits for it.
func (r *Runner) RunUploads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case u := <-r.uploads.waiting:
			u.send(ctx)
		}
	}
}

func (u cacheUpload) send(ctx context.Context) {
	defer u.Close()
	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()
	began := time.Now()
	if err := u.transfers.SendCache(ctx, u.CacheUpload); err != nil {
		u.log.WarnContext(ctx, "upload to the farm's cache failed", "name", u.Name, "size", u.Size, "err", err)
		return
	}
	u.log.InfoContext(ctx, "uploaded to the farm's cache", "name", u.Name, "size", u.Size, "took", time.Since(began).Round(time.Millisecond))
}
