package artifact

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// readyTimeout bounds a probe.
const readyTimeout = 2 * time.Second

func probe(question func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := question(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}

// CanServe returns why this process serves no transfers, nil if it does. Database, bus and object store are shared with its
// replicas and do not count: while they are away each transfer is answered with 503 and Retry-After. It is safe for concurrent
// use.
func (s *Service) CanServe(context.Context) error { return s.transfers.Check() }

// Check returns why transfers would not be served now, nil if they would. It is safe for concurrent use.
func (s *Service) Check(ctx context.Context) error {
	if err := s.CanServe(ctx); err != nil {
		return err
	}
	var one int
	switch {
	case !s.deps.Conn.IsConnected():
		return errors.New("no connection to the bus")
	case s.deps.DB.Read().QueryRowContext(ctx, "SELECT 1").Scan(&one) != nil:
		return errors.New("the database does not answer")
	}
	return s.storeAway(ctx)
}

// storeAway returns an error if the object store is away. It asks a store whose circuit breaker is open: without transfers nobody else
// would close it.
func (s *Service) storeAway(ctx context.Context) error {
	if !s.breakerOpen() {
		return nil
	}
	if _, err := s.deps.Store.Stat(ctx, "none"); errors.Is(err, objects.ErrAway) {
		return err
	}
	return nil
}

func (s *Service) breakerOpen() bool {
	breaker, ok := s.deps.Store.(interface{ Away() error })
	return ok && breaker.Away() != nil
}

// watchTimeout is ample for the answer of a store that works.
const watchTimeout = 2 * time.Second

// watchStore asks the object store for an object that does not exist, every Config.WatchStore. So a store that hangs is found long
// before a transfer stalls: failed questions open the circuit breaker, and requests are then answered with 503 at once.
func (s *Service) watchStore(ctx context.Context) {
	if s.cfg.WatchStore <= 0 {
		return
	}
	for ctx.Err() == nil {
		if err := s.askStore(ctx); err != nil && !s.breakerOpen() {
			continue // the breaker wants several failures in a row
		}
		_ = backoff.Sleep(ctx, s.cfg.WatchStore)
	}
}

// askStore returns an error if the store does not answer in time.
func (s *Service) askStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	_, err := s.deps.Store.Stat(ctx, "none")
	if err == nil || errors.Is(err, objects.ErrNotFound) {
		return nil
	}
	if !errors.Is(err, objects.ErrAway) && ctx.Err() == nil {
		_ = backoff.Sleep(ctx, watchTimeout) // it answers, but with other errors: do not ask at full speed
	}
	return err
}
