package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Stopping are the settings of a process that others send work to and that will be told to stop.
type Stopping struct {
	DrainDelay time.Duration `env:"FREEAGENT_DRAIN_DELAY" help:"delay between SIGTERM, when /readyz begins to fail so that load balancers look elsewhere, and the stop; at most 5m"`
}

// maxDrainDelay is beyond what any load balancer needs to notice.
const maxDrainDelay = 5 * time.Minute

// Check names a fault.
func (s Stopping) Check() error {
	if s.DrainDelay < 0 || s.DrainDelay > maxDrainDelay {
		return fmt.Errorf("FREEAGENT_DRAIN_DELAY must be 0s to %s (got %s)", maxDrainDelay, s.DrainDelay)
	}
	return nil
}

// errDrained is why work ends.
var errDrained = errors.New("stopping")

// after is a context that ends d after ctx has.
func after(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var timer *time.Timer
	armed := make(chan struct{})
	detach := context.AfterFunc(ctx, func() {
		timer = time.AfterFunc(d, func() { cancel(errDrained) })
		close(armed)
	})
	return later, func() {
		if !detach() {
			<-armed
			timer.Stop()
		}
		cancel(context.Canceled)
	}
}

// leaving serves h until stopping ends. From then on /readyz says no whatever h would, and every answer asks the client to
// connect anew, which finds it another replica.
func leaving(stopping context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stopping.Err() == nil {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		if r.URL.Path == "/readyz" {
			answer(w, http.StatusServiceUnavailable, "stopping")
			return
		}
		h.ServeHTTP(w, r)
	})
}
