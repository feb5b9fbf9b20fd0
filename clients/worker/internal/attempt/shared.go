package attempt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/transfer"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	// fetchTimeout bounds the download of an entry: an install takes about as long.
	fetchTimeout = 5 * time.Minute
	// settleTimeout bounds how long the outcome of a build waits for the answers to offers, which mostly come while it runs.
	settleTimeout = 2 * time.Second
)

// shared is the farm's cache for one attempt.
type shared struct {
	transfers *transfer.Transfers
	ctx       context.Context //nolint:containedctx // of offers, which run beside the build
	cancel    context.CancelFunc

	// off is set when the farm has no cache, or does not answer. damaged has names and keys of entries to be replaced.
	off     bool
	damaged map[[2]string]bool

	offers  sync.WaitGroup
	mu      sync.Mutex
	granted []*transfer.CacheUpload
}

func newShared(ctx context.Context, t *transfer.Transfers) *shared {
	s := &shared{transfers: t, damaged: map[[2]string]bool{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// Fetch implements runtime.SharedCache.
func (s *shared) Fetch(ctx context.Context, name, key string, to *os.File) (runtime.SharedEntry, bool, error) {
	if s.off {
		return runtime.SharedEntry{}, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	e, ok, err := s.transfers.FetchCache(ctx, name, key, to)
	if errors.Is(err, transfer.ErrNoCache) {
		s.off = true
		return e, false, nil
	}
	if err != nil {
		s.damaged[[2]string{name, key}] = true
	}
	return e, ok, err
}

// Offer implements runtime.SharedCache.
func (s *shared) Offer(name, key string, packed *os.File) {
	if s.off {
		_ = packed.Close() // nothing was written
		return
	}
	again := s.damaged[[2]string{name, key}]
	s.offers.Go(func() {
		u, err := s.transfers.OfferCache(s.ctx, name, key, packed, again)
		if err != nil || u == nil {
			_ = packed.Close() // nothing was written
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.granted = append(s.granted, u)
	})
}

// settle ends the offers and returns the uploads that were granted.
func (s *shared) settle() []*transfer.CacheUpload {
	done := make(chan struct{})
	go func() { s.offers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(settleTimeout):
	}
	s.cancel()
	<-done
	return s.granted
}

// share hands what was granted over to be uploaded, and says so. Without say it is dropped.
func (a *attempt) share(ctx context.Context, say bool) {
	for _, u := range a.shared.settle() {
		if !say || !a.runner.uploads.add(cacheUpload{CacheUpload: u, transfers: a.transfers, log: a.log}) {
			u.Close()
			continue
		}
		a.logLine(ctx, "info", fmt.Sprintf("%s goes to the farm's cache: %s", u.Name, text.Size(u.Size)))
	}
}
